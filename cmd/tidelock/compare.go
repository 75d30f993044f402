package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/compare"
	"tidelock.dev/tidelock/test/behaviour"
)

func compareCommand() *cobra.Command {
	var page string
	var list, markdown, verbose bool
	cmd := &cobra.Command{
		Use:   "compare [ROW...]",
		Short: "Show what the kinds of partition do, by doing it",
		Long: `Show what the kinds of partition do: those before firmware 7.7.0, version 0 and
version 1. For each row a scenario makes HSMs in a scratch directory, works with them
through the command line and the PKCS#11 library, checks the answers, and tells what it
has observed. Rows without a scenario are shown as open, those whose scenario leaves
something out as partly. The exit status is 1 when a row fails. No HSM of yours is
touched.`,
		Example: "  tidelock compare\n  tidelock compare TOK-1 ROL-3 --verbose\n  tidelock compare --html comparison.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := wantsJSON(cmd)
			if err != nil {
				return err
			}
			if asJSON && (markdown || verbose) || markdown && verbose {
				return wrongUse("-o json, --markdown and --verbose exclude each other")
			}
			rows, err := compare.Load(behaviour.Catalogue)
			if err != nil {
				return err
			}
			if rows, err = compare.Select(rows, args); err != nil {
				return wrongUse("%w: `tidelock compare --list` names them all", err)
			}
			if list {
				return listRows(cmd, rows)
			}
			var file *os.File
			if page != "" {
				// Before the work of which it is the result.
				if file, err = os.Create(page); err != nil {
					return err
				}
				defer file.Close()
			}
			report, err := runRows(cmd, rows)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				err = printJSON(cmd, report.Rows)
			case markdown:
				err = report.Markdown(out)
			default:
				err = printRows(out, report, verbose)
			}
			if err == nil && file != nil {
				err = errors.Join(report.HTML(file), file.Close())
			}
			if failed := report.With(compare.Fail); err == nil && len(failed) > 0 {
				err = fmt.Errorf("%d of %d rows failed: %s", len(failed), len(rows), strings.Join(failed, ", "))
			}
			return err
		},
		ValidArgsFunction: completeRows,
	}
	f := cmd.Flags()
	f.StringVar(&page, "html", "", "write the report to a page, with all commands and answers")
	f.BoolVar(&list, "list", false, "list the rows, and run nothing")
	f.BoolVar(&markdown, "markdown", false, "print the report as docs/comparison.md has it")
	f.BoolVar(&verbose, "verbose", false, "show the commands and their answers")
	return cmd
}

// listRows shows rows and the columns of their scenarios.
func listRows(cmd *cobra.Command, rows []compare.Row) error {
	var lines [][]field
	for _, row := range rows {
		columns := string(compare.Open)
		if row.Scenario != nil {
			columns = compare.Names(row.Scenario.Columns)
		}
		lines = append(lines, []field{{"Row", "row", row.ID}, {"Columns", "columns", columns}, {"What it is about", "title", row.Title}})
	}
	return printTable(cmd, lines)
}

// runRows runs the scenarios of rows in a lab that is gone afterwards, interrupted or
// not.
func runRows(cmd *cobra.Command, rows []compare.Row) (report *compare.Report, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	programs, err := compare.FindPrograms(self)
	if err != nil {
		return nil, err
	}
	lab, err := compare.NewLab(programs)
	if err != nil {
		return nil, err
	}
	defer func() {
		if left := lab.Close(); err == nil {
			err = left
		}
	}()
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	report = compare.Run(ctx, lab, rows, runtime.GOMAXPROCS(0), progressOn(cmd.ErrOrStderr()))
	if ctx.Err() != nil {
		return nil, errors.New("interrupted: nothing is reported, and nothing is left behind")
	}
	return report, nil
}

// progressOn shows on a terminal how far it is, in one line that goes at the end.
func progressOn(w io.Writer) compare.Progress {
	if !isTerminal(w) {
		return func(int, int, string, string) {}
	}
	return func(done, total int, row, column string) {
		fmt.Fprintf(w, "\r\x1b[K%d of %d  %s %s", done, total, row, column)
		if done == total {
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

// printRows shows rows under the headings of their groups, and below each what was
// observed in its columns.
func printRows(w io.Writer, report *compare.Report, verbose bool) error {
	bold, red, plain := "", "", ""
	if colours(w) {
		bold, red, plain = "\x1b[1m", "\x1b[31m", "\x1b[0m"
	}
	var b strings.Builder
	for i, group := range report.Groups() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s%s%s\n", bold, group[0].Group, plain)
		for _, row := range group {
			fmt.Fprintf(&b, "  %-7s %-7s %s\n", row.ID, row.Result, row.Title)
			for _, c := range mergeCells(row.Cells, verbose) {
				colour := ""
				if c.Result == compare.Fail {
					colour = red
				}
				fmt.Fprintf(&b, "  %15s %s%s:%s %s\n", "", colour, c.Column, plain, c.Text())
				if verbose {
					for line := range strings.Lines(c.Transcript) {
						fmt.Fprintf(&b, "    | %s", line)
					}
				}
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n", report.Summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// mergeCells makes one cell of those that show the same, unless each has its
// transcript below it.
func mergeCells(cells []compare.Cell, apart bool) []compare.Cell {
	if apart {
		return cells
	}
	var merged []compare.Cell
	for _, c := range cells {
		i := slices.IndexFunc(merged, func(m compare.Cell) bool { return m.Result == c.Result && m.Text() == c.Text() })
		if i < 0 {
			merged = append(merged, c)
		} else {
			merged[i].Column += ", " + c.Column
		}
	}
	return merged
}

// completeRows offers the rows that have a scenario.
func completeRows(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	rows, err := compare.Load(behaviour.Catalogue)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []string
	for _, row := range rows {
		if row.Scenario != nil {
			offers = append(offers, row.ID+"\t"+row.Title)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
