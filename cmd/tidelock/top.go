package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tidelock.dev/tidelock/wire"
)

func topCommand() *cobra.Command {
	var once bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch what the HSM does",
		Long: `Watch what the HSM does: operations per second by function and mechanism, the codes of
the calls that failed, and how full the partitions are. It needs a terminal; q or ctrl-c
leaves. --once measures over one interval and prints the result.`,
		Example: "  tidelock top\n  tidelock top --once --interval 10s -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < 100*time.Millisecond {
				return wrongUse("--interval %v: at least 100ms", interval)
			}
			asJSON, err := wantsJSON(cmd)
			if err != nil {
				return err
			}
			if !once {
				switch {
				case asJSON:
					return wrongUse("-o json: only with --once")
				case shellOf(cmd) != nil:
					return wrongUse("the shell has the terminal: leave it first, or use --once")
				case !isTerminal(cmd.InOrStdin()) || !isTerminal(cmd.OutOrStdout()):
					return wrongUse("this is not a terminal: --once prints what is measured over one interval")
				}
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if !once {
				return watch(cmd, c, interval)
			}
			previous, err := readStatistics(c)
			if err != nil {
				return err
			}
			time.Sleep(interval)
			now, err := readStatistics(c)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, snapshot(previous, now))
			}
			_, err = io.WriteString(cmd.OutOrStdout(), view(previous, now, 80, 0))
			return err
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print one measurement and end")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time between two measurements")
	return cmd
}

func readStatistics(c *link) (statistics, error) {
	s := statistics{StatisticsReply: new(wire.StatisticsReply)}
	err := c.Do(wire.CallStatistics, 0, &wire.StatisticsRequest{}, s.StatisticsReply)
	s.at = time.Now()
	return s, err
}

// snapshot is what view shows, for programs.
func snapshot(previous, now statistics) map[string]any {
	list := func(all []rate, name string) []map[string]any {
		objects := make([]map[string]any, 0, len(all))
		for _, r := range all {
			objects = append(objects, map[string]any{name: r.name, "count": r.count, "perSecond": r.perSecond})
		}
		return objects
	}
	partitions := make([]map[string]any, 0, len(now.Slots))
	for _, r := range partitionRows(now.StatisticsReply) {
		partitions = append(partitions, object(r))
	}
	return map[string]any{
		"uptimeSeconds": now.UptimeSeconds,
		"applications":  now.Applications,
		"connections":   now.Connections,
		"operations":    list(operationRates(previous, now), "operation"),
		"errors":        list(errorRates(previous, now), "code"),
		"partitions":    partitions,
	}
}

// What a terminal is told.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	endLine     = "\x1b[K\r\n"
	clearBelow  = "\x1b[J"
)

// watch shows the HSM on the terminal until somebody leaves.
func watch(cmd *cobra.Command, c *link, interval time.Duration) error {
	previous, err := readStatistics(c)
	if err != nil {
		return err
	}
	in, out := cmd.InOrStdin().(*os.File), cmd.OutOrStdout().(*os.File)
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)

	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer func() { _ = term.Restore(int(in.Fd()), state) }()
	fmt.Fprint(out, enterScreen)
	defer fmt.Fprint(out, leaveScreen)

	ctx, leave := context.WithCancel(ctx)
	defer leave()
	go func() { // ends with the program, or with the key that ends it
		defer leave()
		untilLeft(in)
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	now := previous
	for {
		if err := draw(out, previous, now); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-tick.C:
			previous = now
			if now, err = readStatistics(c); err != nil {
				return err
			}
		}
	}
}

// untilLeft reads keys up to q, ctrl-c or the end.
func untilLeft(in io.Reader) {
	key := make([]byte, 1)
	for {
		if _, err := in.Read(key); err != nil || key[0] == 'q' || key[0] == 'Q' || key[0] == 3 {
			return
		}
	}
}

func draw(out *os.File, previous, now statistics) error {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width < 1 || height < 2 {
		width, height = 80, 24
	}
	// The last line stays free: a line's end there would scroll the screen.
	text := view(previous, now, width, height-1)
	_, err = io.WriteString(out, toTop+strings.ReplaceAll(text, "\n", endLine)+clearBelow)
	return err
}
