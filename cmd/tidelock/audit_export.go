package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func auditExportCommand() *cobra.Command {
	var p pins
	var file string
	cmd := &cobra.Command{
		Use:   "export --file F",
		Short: "Write all of the log into a file, signed by the HSM",
		Long: `export is for the Auditor. It writes the entries of the log into a new file, in the form
of "audit show -o json", and behind them a line in which the HSM signs where they begin
and end. "audit verify --file" checks it without any HSM; "audit clear --file" takes its
entries out of the log.`,
		Example: "  tidelock audit export --file 2026-11.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return wrongUse("say where the log goes: --file FILE")
			}
			return asAuditor(cmd, &p, func(s *session) error {
				g, err := exportLog(s, file)
				if err != nil {
					return err
				}
				return printExport(cmd, file, g, field{"Next", "next", "tidelock audit clear --file " + file})
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "a new file for the log")
	p.flags(cmd, false)
	return cmd
}

func auditClearCommand() *cobra.Command {
	var p pins
	var sure confirmation
	var file string
	cmd := &cobra.Command{
		Use:   "clear --file F",
		Short: "Take out of the log what a file has of it",
		Long: `clear is for the Auditor. It checks a file that "audit export" wrote, and lets the HSM
remove its entries. The HSM does so where it has signed them as exported and nothing older
would remain; the entries that follow go on in the same chain. Keep the file: nobody else
has these entries then.`,
		Example: "  tidelock audit clear --file 2026-11.jsonl --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return wrongUse("say what was exported: --file FILE")
			}
			g, err := readSegment(file)
			if err != nil {
				return err
			}
			lost := fmt.Sprintf("entries %d to %d of the log, which are in %s", g.After.Sequence+1, g.Last.Sequence, file)
			if ok, err := sure.ask(cmd, "clear", []string{lost}); err != nil || !ok {
				return err
			}
			return asAuditor(cmd, &p, func(s *session) error {
				if err := clearLog(s, g); err != nil {
					return err
				}
				return printCleared(cmd, file, g)
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "what `audit export` wrote")
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

func auditRotateCommand() *cobra.Command {
	var p pins
	var file string
	cmd := &cobra.Command{
		Use:   "rotate --file F",
		Short: "Export the log and clear it",
		Long: `rotate is for the Auditor. It is "audit export" and, when the file is on the disk and was
checked, "audit clear".`,
		Example: "  tidelock audit rotate --file \"$(date +%F).jsonl\" --pin-file auditor.pin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return wrongUse("say where the log goes: --file FILE")
			}
			return asAuditor(cmd, &p, func(s *session) error {
				if _, err := exportLog(s, file); err != nil {
					return err
				}
				g, err := readSegment(file)
				if err != nil {
					return err
				}
				if err := clearLog(s, g); err != nil {
					return fmt.Errorf("the log was exported into %s: %w", file, err)
				}
				return printCleared(cmd, file, g)
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "a new file for the log")
	p.flags(cmd, false)
	return cmd
}

// exportLog writes a segment of all the log into a new file, which is on the disk when it
// returns. What is not whole is removed.
func exportLog(s *session, path string) (audit.Segment, error) {
	f, err := createFile(path, 0o600)
	if err != nil {
		return audit.Segment{}, err
	}
	g, err := writeSegment(s, f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	if err != nil {
		return audit.Segment{}, errors.Join(err, os.Remove(path))
	}
	return g, nil
}

func writeSegment(s *session, f *os.File) (audit.Segment, error) {
	var reply wire.AuditExportReply
	if err := s.do(wire.CallAuditExport, &wire.AuditExportRequest{}, &reply); err != nil {
		return audit.Segment{}, s.explained(fmt.Errorf("exporting the audit log: %w", err))
	}
	g, err := audit.ParseSegment([]byte(reply.Segment))
	if err != nil {
		return audit.Segment{}, err
	}
	v, err := audit.NewVerifier()
	if err != nil {
		return audit.Segment{}, err
	}
	w := bufio.NewWriter(f)
	write := func(line string) error {
		v.Line([]byte(line))
		_, err := fmt.Fprintln(w, line)
		return err
	}
	err = auditLines{client: s.link, from: g.After.Sequence + 1, limit: g.Last.Sequence - g.After.Sequence}.each(write)
	if err == nil {
		err = write(reply.Segment)
	}
	if err != nil {
		return audit.Segment{}, err
	}
	if _, err := v.Finish(); err != nil {
		return audit.Segment{}, err
	}
	return g, w.Flush()
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSegment checks a file that was exported and returns what the HSM has signed of it.
func readSegment(path string) (audit.Segment, error) {
	v, err := audit.NewVerifier()
	if err != nil {
		return audit.Segment{}, err
	}
	last, err := feed(v, path)
	if err != nil {
		return audit.Segment{}, err
	}
	report, err := v.Finish()
	if err != nil {
		return audit.Segment{}, fmt.Errorf("%s: %w", path, err)
	}
	if report.Sealed != report.Last {
		return audit.Segment{}, fmt.Errorf("%s does not end with what the HSM has signed of it: `tidelock audit export` writes files that do", path)
	}
	return audit.ParseSegment(last)
}

func clearLog(s *session, g audit.Segment) error {
	err := s.do(wire.CallAuditClear, &wire.AuditClearRequest{Segment: string(g.Line())}, &wire.AuditClearReply{})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("clearing the audit log: %w", err)
	if cryptoki.Code(err) == cryptoki.CKR_ARGUMENTS_BAD {
		return refusedSegment(s, g, err)
	}
	return s.explained(err)
}

// refusedSegment says why the HSM does not clear a segment.
func refusedSegment(s *session, g audit.Segment, err error) error {
	var page wire.AuditReadReply
	if failed := s.Do(wire.CallAuditRead, 0, &wire.AuditReadRequest{}, &page); failed != nil {
		return err
	}
	header, failed := audit.ParseHeader([]byte(page.Header))
	switch {
	case failed != nil:
		return err
	case header.Serial != g.Serial:
		return fmt.Errorf("%w: the entries are HSM %s's, and this is %s", err, g.Serial, header.Serial)
	case g.Last.Sequence < header.From:
		return fmt.Errorf("%w: they are cleared already, the log begins with entry %d", err, header.From)
	case g.After.Sequence >= header.From:
		return fmt.Errorf("%w: the log begins with entry %d: clear what was exported of it before entry %d first", err, header.From, g.After.Sequence+1)
	}
	return fmt.Errorf("%w: the log of this HSM has other entries of these numbers, or another key: the file is of another history of the HSM", err)
}

func printCleared(cmd *cobra.Command, file string, g audit.Segment) error {
	return printExport(cmd, file, g, field{"Cleared from the log", "cleared", true})
}

func printExport(cmd *cobra.Command, file string, g audit.Segment, then field) error {
	return printFields(cmd, []field{
		{"File", "file", file},
		{"Entries", "entries", entryRange{g.After.Sequence + 1, g.Last.Sequence}},
		then,
	})
}
