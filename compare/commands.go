package compare

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"rsc.io/script"

	"tidelock.dev/tidelock/firmware"
)

// The PINs of the HSM that quickstart makes.
const (
	officerPIN = "12345678"
	userPIN    = "87654321"
)

// outputTime is how long a program's output may stay open after its end. A process
// that another scenario is just starting holds it for a moment, which is long on a busy
// machine.
const outputTime = 10 * time.Second

// skipped ends a scenario that cannot run here.
type skipped struct{ reason string }

func (s skipped) Error() string { return s.reason }

// engine makes the language of scenarios for a column: that of rsc.io/script, with
// commands and conditions of ours. seen gets what the table is to show.
func engine(column Column, seen *findings) *script.Engine {
	e := script.NewEngine()
	delete(e.Cmds, "sleep") // a scenario that needs it would be right only now and then
	delete(e.Cmds, "help")
	e.Cmds["exec"] = script.Exec(func(cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) }, outputTime)
	e.Cmds["quickstart"] = quickstart(e.Cmds["exec"], column)
	e.Cmds["observe"] = note("show a text in the table", &seen.observed)
	e.Cmds["open"] = note("tell which part of the row the scenario does not show", &seen.open)
	e.Cmds["capture"] = capture()
	e.Cmds["skip"] = script.Command(script.CmdUsage{Summary: "end the scenario, which cannot run here", Args: "reason..."},
		func(_ *script.State, args ...string) (script.WaitFunc, error) {
			if len(args) == 0 {
				return nil, script.ErrUsage
			}
			return nil, skipped{strings.Join(args, " ")}
		})

	root := e.Conds["root"]
	e.Conds = map[string]script.Cond{"root": root}
	for _, c := range Kinds {
		e.Conds[c.Name] = script.BoolCondition("the column is "+c.Name, c == column)
	}
	e.Conds["exec"] = script.CachedCondition("the program <suffix> is installed", func(name string) (bool, error) {
		_, err := exec.LookPath(name)
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			return false, err
		}
		return err == nil, nil
	})
	return e
}

// note makes a command that adds a text to a list.
func note(summary string, list *[]string) script.Cmd {
	return script.Command(script.CmdUsage{Summary: summary, Args: "text..."}, func(_ *script.State, args ...string) (script.WaitFunc, error) {
		text := strings.Join(args, " ")
		if text == "" {
			return nil, script.ErrUsage
		}
		*list = append(*list, text)
		return nil, nil
	})
}

// quickstart runs "tidelock quickstart" for the column's kind of partition.
func quickstart(run script.Cmd, column Column) script.Cmd {
	return script.Command(script.CmdUsage{
		Summary: "make an HSM of the column's kind",
		Args:    "[directory] [flags...]",
		Detail:  []string{"The directory is $TIDELOCK_HOME where none is named. Flags go to tidelock quickstart."},
	}, func(s *script.State, args ...string) (script.WaitFunc, error) {
		home, _ := s.LookupEnv("TIDELOCK_HOME")
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			home, args = s.Path(args[0]), args[1:]
		}
		words := []string{"tidelock", "quickstart", "--home", home, "--label", "demo", "--so-pin", officerPIN, "--pin", userPIN, "--kdf", "test"}
		words = append(words, column.flags(args)...)
		words = append(words, args...)
		s.Logf("[%s]\n", strings.Join(words, " "))
		return run.Run(s, words...)
	})
}

// capture takes a part of what the last command wrote.
func capture() script.Cmd {
	return script.Command(script.CmdUsage{
		Summary:    "set a variable to what a group of a pattern matches in the standard output",
		Args:       "name 'pattern (group)'",
		RegexpArgs: func(...string) []int { return []int{1} },
	}, func(s *script.State, args ...string) (script.WaitFunc, error) {
		if len(args) != 2 {
			return nil, script.ErrUsage
		}
		pattern, err := regexp.Compile("(?m)" + args[1])
		if err != nil {
			return nil, err
		}
		if pattern.NumSubexp() != 1 {
			return nil, fmt.Errorf("%s has not one group", args[1])
		}
		match := pattern.FindStringSubmatch(s.Stdout())
		if match == nil {
			return nil, fmt.Errorf("no match for %s in stdout", args[1])
		}
		s.Logf("[%s=%s]\n", args[0], match[1])
		return nil, s.Setenv(args[0], match[1])
	})
}

// flags are what quickstart needs to make the column's kind beside the flags of a
// scenario, which may name another firmware level.
func (c Column) flags(others []string) []string {
	var flags []string
	level := c.Firmware
	if i := slices.Index(others, "--firmware"); i >= 0 && i+1 < len(others) {
		if named, err := firmware.Parse(others[i+1]); err == nil {
			level = named
		}
	} else if level != V0.Firmware {
		flags = append(flags, "--firmware", level.String())
	}
	if c.Version != "" && level.Has(firmware.PartitionVersions) {
		flags = append(flags, "--partition-version", c.Version)
	}
	return flags
}

// explained is an error of a script without the script's path, and with what the
// command that failed wrote to its standard error.
func explained(err error, stderr string) error {
	var failed *script.CommandError
	if !errors.As(err, &failed) {
		return err
	}
	cause := failed.Err
	var exit *exec.ExitError
	if stderr = strings.Join(strings.Fields(stderr), " "); stderr != "" && errors.As(cause, &exit) {
		cause = fmt.Errorf("%w: %s", cause, stderr)
	}
	return fmt.Errorf("line %d: %s: %w", failed.Line, strings.Join(append([]string{failed.Op}, failed.Args...), " "), cause)
}
