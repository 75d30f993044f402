package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func auditCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "audit",
		Short: "The tamper-evident log of what was done with the HSM",
		Long: `The HSM records who did what, when, with what result. Entries are chained: altering,
cutting or reordering them shows. Checkpoints, kept out of reach of whoever runs the
HSM, show it even if he has all of its keys. The Auditor sets what is recorded, and takes
what was exported out of the log, which is full some day.`,
		Example: "  tidelock audit show --limit 20\n  tidelock audit verify\n  tidelock audit rotate --file 2026-11.jsonl",
	}, auditShowCommand(), auditVerifyCommand(), auditCheckpointCommand(), auditConfigCommand(),
		auditExportCommand(), auditClearCommand(), auditRotateCommand())
}

func auditShowCommand() *cobra.Command {
	var from, limit uint64
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the entries of the log",
		Long: `show prints the entries of the log, oldest first. With -o json it writes the form
that "audit verify --file" checks: a line for the log, then one for each entry.`,
		Example: "  tidelock audit show --from 100 --limit 20\n  tidelock audit show -o json > audit.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantsJSON(cmd)
			if err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			lines := auditLines{client: c, from: from, limit: limit}
			if asJSON {
				return lines.each(func(text string) error {
					_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
					return err
				})
			}
			return showEntries(cmd.OutOrStdout(), lines)
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "number of the first entry (0: the oldest)")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "how many entries (0: all)")
	return cmd
}

// auditLines is the log of a server, or a part of it, in its exported form.
type auditLines struct {
	client *link
	from   uint64 // 0: the oldest entry
	limit  uint64 // 0: up to the entry that is the newest at the first page
}

// each calls fn with the header and then with each entry.
func (l auditLines) each(fn func(line string) error) error {
	var end uint64 // behind the last entry
	for next := l.from; ; {
		request := wire.AuditReadRequest{From: next, Limit: audit.MaxPage}
		if end != 0 {
			request.Limit = uint32(min(end-next, audit.MaxPage))
		} else if l.limit != 0 {
			request.Limit = uint32(min(l.limit, audit.MaxPage))
		}
		var page wire.AuditReadReply
		if err := l.client.Do(wire.CallAuditRead, 0, &request, &page); err != nil {
			return l.refused(next, err)
		}
		if end == 0 {
			header, err := audit.ParseHeader([]byte(page.Header))
			if err != nil {
				return err
			}
			next, end = header.From, page.Newest+1
			if l.limit != 0 && l.limit < end-next {
				end = next + l.limit
			}
			if err := fn(page.Header); err != nil {
				return err
			}
		}
		for _, line := range page.Entries {
			if err := fn(line); err != nil {
				return err
			}
		}
		if next += uint64(len(page.Entries)); next >= end || len(page.Entries) == 0 {
			return nil
		}
	}
}

// refused says which entries there are where the HSM has none of a number.
func (l auditLines) refused(number uint64, err error) error {
	err = fmt.Errorf("reading the audit log from entry %d on: %w", number, err)
	var page wire.AuditReadReply
	if cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD || l.client.Do(wire.CallAuditRead, 0, &wire.AuditReadRequest{}, &page) != nil {
		return err
	}
	header, failed := audit.ParseHeader([]byte(page.Header))
	if failed != nil {
		return err
	}
	if number < header.From {
		return fmt.Errorf("%w: the log begins with entry %d, older ones were exported and cleared", err, header.From)
	}
	return fmt.Errorf("%w: the log ends with entry %d", err, page.Newest)
}

// showEntries prints a table. Its columns are as wide as each run of entries needs.
func showEntries(out io.Writer, lines auditLines) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	n := 0
	err := lines.each(func(line string) error {
		defer func() { n++ }()
		if n == 0 { // the header
			_, err := fmt.Fprintln(w, "No\tTime\tEvent\tResult\tWho\tWhat")
			return err
		}
		e, err := audit.ParseEntry([]byte(line))
		if err != nil {
			return err
		}
		r := e.Record
		fmt.Fprintf(w, "%d\t%s\t%v\t%v\t%v\t%s\n", e.Sequence, r.Time.Format("2006-01-02 15:04:05.000"), r.Event, r.Result, r.Actor, r.Subject())
		if n%audit.MaxPage == 0 {
			return w.Flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

func auditCheckpointCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Let the HSM sign how far its log goes",
		Long: `checkpoint prints a signed statement of the HSM: the number and the hash of its
log's newest entry, and the time. Keep checkpoints where whoever runs the HSM cannot
change them; "audit verify --checkpoint" holds the log against them.`,
		Example: "  tidelock audit checkpoint --out 2026-11-24.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reply wire.AuditCheckpointReply
			if err := ask(cmd, wire.CallAuditCheckpoint, &wire.AuditCheckpointRequest{}, &reply); err != nil {
				return fmt.Errorf("making a checkpoint: %w", err)
			}
			if out == "" {
				_, err := io.WriteString(cmd.OutOrStdout(), reply.Checkpoint)
				return err
			}
			return writeNewFile(out, reply.Checkpoint)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "a new file for the checkpoint (default standard output)")
	return cmd
}

// writeNewFile writes a file that must not exist: an older checkpoint is never
// replaced.
func writeNewFile(path, content string) error {
	f, err := createFile(path, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// createFile opens a file for writing that must not exist.
func createFile(path string, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		err = fmt.Errorf("%s exists, and is not replaced: give the name of a new file", path)
	}
	return f, err
}
