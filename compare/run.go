package compare

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"rsc.io/script"
)

// Result is how a row, or one of its columns, came out.
type Result string

const (
	NotRun Result = ""
	Pass   Result = "pass"
	Fail   Result = "fail"
	// Partly is a pass of a scenario that says that it leaves a part of the row open.
	Partly Result = "partly"
	// Open is a row without a scenario.
	Open Result = "open"
	// Skipped is a scenario that cannot run here: Cell.Reason says what it lacks.
	Skipped Result = "skipped"
)

// Cell is what a scenario showed in a column.
type Cell struct {
	Column string `json:"column"`
	Result Result `json:"result"`
	// Observed are the texts for the table. They are none unless the scenario passed.
	Observed []string `json:"observed"`
	// Open are the parts of the row that the scenario does not show.
	Open []string `json:"open,omitempty"`
	// Reason says why it failed or was skipped.
	Reason string `json:"reason,omitempty"`
	// Transcript has the commands and their answers; its own directory is $WORK there.
	Transcript string `json:"-"`
}

// Text is what a table shows of the cell.
func (c Cell) Text() string {
	switch c.Result {
	case Pass:
		return strings.Join(c.Observed, "; ")
	case Partly:
		return strings.Join(c.Observed, "; ") + " (open: " + strings.Join(c.Open, "; ") + ")"
	case NotRun:
		return "not run"
	}
	return string(c.Result) + ": " + c.Reason
}

const (
	// cellTime is longer than any scenario takes, and ends those that hang.
	cellTime = 5 * time.Minute
	// stopTime is for a server to end.
	stopTime = 30 * time.Second
)

// Lab is a scratch directory in which scenarios run.
type Lab struct {
	dir      string
	programs Programs
}

// NewLab makes a lab. Close removes it.
func NewLab(p Programs) (*Lab, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	// The names of sockets are limited to 107 bytes, so the path is kept short.
	dir, err := os.MkdirTemp("", "tidelock-compare-")
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir, programs: p}
	bin := filepath.Join(dir, "bin")
	err = os.Mkdir(bin, 0o755)
	for name, target := range map[string]string{"tidelock": p.Tidelock, "p11": p.P11} {
		if err == nil {
			err = os.Symlink(target, filepath.Join(bin, name))
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close removes all that scenarios have left.
func (l *Lab) Close() error { return os.RemoveAll(l.dir) }

// Run runs a row's scenario in a column. Servers that it leaves behind are stopped.
func (l *Lab) Run(ctx context.Context, row Row, column Column) Cell {
	work := filepath.Join(l.dir, row.ID+"-"+column.Name)
	cell := Cell{Column: column.Name, Observed: []string{}}
	var log bytes.Buffer
	seen, err := l.execute(ctx, row.Scenario, column, work, &log)
	if left := os.RemoveAll(work); err == nil {
		err = left
	}
	if err == nil && len(seen.observed) == 0 {
		err = errors.New("the scenario has observed nothing in this column")
	}
	tell := strings.NewReplacer(work, "$WORK", l.dir, "$WORK/..")
	cell.Transcript = tell.Replace(sectionTime.ReplaceAllString(strings.TrimSpace(log.String())+"\n", "$1"))
	var skip skipped
	switch {
	case err == nil:
		cell.Result, cell.Open = Pass, seen.open
		if len(seen.open) > 0 {
			cell.Result = Partly
		}
		for _, text := range seen.observed {
			cell.Observed = append(cell.Observed, tell.Replace(text))
		}
	case errors.As(err, &skip):
		cell.Result, cell.Reason = Skipped, skip.reason
	default:
		cell.Result, cell.Reason = Fail, tell.Replace(err.Error())
	}
	return cell
}

// sectionTime is what rsc.io/script puts behind a comment.
var sectionTime = regexp.MustCompile(`(?m)^(#.*) \(\d+\.\d{3}s\)$`)

// findings are what a script has said.
type findings struct{ observed, open []string }

// execute runs the script. The log gets what happened.
func (l *Lab) execute(ctx context.Context, s *Scenario, column Column, work string, log *bytes.Buffer) (seen findings, err error) {
	ctx, cancel := context.WithTimeout(ctx, cellTime)
	defer cancel()
	if err := os.Mkdir(work, 0o755); err != nil {
		return seen, err
	}
	state, err := script.NewState(ctx, work, l.environment(column, work))
	if err != nil {
		return seen, err
	}
	defer func() {
		// Servers first: one in the background is waited for.
		err = errors.Join(err, l.stop(context.WithoutCancel(ctx), work), state.CloseAndWait(log))
	}()
	if err := state.ExtractFiles(s.archive); err != nil {
		return seen, err
	}
	e := engine(column, &seen)
	err = e.Execute(state, s.name, bufio.NewReader(bytes.NewReader(s.script)), log)
	return seen, explained(err, state.Stderr())
}

func (l *Lab) environment(column Column, work string) []string {
	return []string{
		"PATH=" + filepath.Join(l.dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + work,
		"TMPDIR=" + work,
		"LC_ALL=C",
		"WORK=" + work,
		"TIDELOCK_HOME=" + filepath.Join(work, "hsm"),
		"P11_MODULE=" + l.programs.Module,
		"COLUMN=" + column.Name,
		"FIRMWARE=" + column.Firmware.String(),
		"VERSION=" + column.Version,
	}
}

// stop ends the servers of all HSMs that a scenario has made: directories right in
// its own.
func (l *Lab) stop(ctx context.Context, work string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	stores, err := filepath.Glob(filepath.Join(work, "*", "store.db"))
	if err != nil {
		return err
	}
	for _, store := range stores {
		cmd := exec.CommandContext(ctx, l.programs.Tidelock, "stop", "--home", filepath.Dir(store))
		cmd.Env = []string{"HOME=" + work}
		if out, failed := cmd.CombinedOutput(); failed != nil {
			err = errors.Join(err, fmt.Errorf("stopping the server of %s: %w: %s", filepath.Dir(store), failed, bytes.TrimSpace(out)))
		}
	}
	return err
}
