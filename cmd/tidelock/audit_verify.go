package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/wire"
)

func auditVerifyCommand() *cobra.Command {
	var files []string
	var checkpoints []string
	cmd := &cobra.Command{
		Use:   "verify [--file F]... [--checkpoint C]...",
		Short: "Check that nothing in the log was altered, cut or reordered",
		Long: `verify lets the HSM check its log: chain, MACs, and where the log ends. With --file it
checks a log that "audit show -o json" or "audit export" wrote, without any HSM; several
files are one log, each beginning where the one before it ends. With --checkpoint either
is held against statements that the HSM signed earlier: that shows what was altered or
cut by somebody who has the HSM's store and its root key.

The exit status is 0 when the log holds and 1 otherwise; the message says at which entry.`,
		Example: "  tidelock audit verify\n  tidelock audit verify --file audit.jsonl --checkpoint 2026-11-24.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := wantsJSON(cmd); err != nil {
				return err
			}
			verifier, err := readCheckpoints(checkpoints)
			if err != nil {
				return err
			}
			if len(files) > 0 {
				return verifyFiles(cmd, files, verifier, len(checkpoints) > 0)
			}
			return verifyServer(cmd, verifier, len(checkpoints) > 0)
		},
	}
	cmd.Flags().StringArrayVar(&files, "file", nil, "an exported log, or a part of it; may be given several times, in order")
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "a checkpoint that is known to be genuine; may be given several times")
	return cmd
}

// readCheckpoints makes a verifier with the checkpoints in files.
func readCheckpoints(paths []string) (*audit.Verifier, error) {
	var named []audit.NamedCheckpoint
	for _, path := range paths {
		text, err := readLimited(path, audit.MaxCheckpoint)
		if err != nil {
			return nil, err
		}
		c, err := audit.ParseCheckpoint(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		named = append(named, audit.NamedCheckpoint{Name: path, Checkpoint: c})
	}
	return audit.NewVerifier(named...)
}

// readLimited reads a file that must have at most size bytes.
func readLimited(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, size+1))
	if err == nil && int64(len(text)) > size {
		err = fmt.Errorf("%s has more than %d bytes", path, size)
	}
	return text, err
}

// verifyFiles checks an exported log, which may be in several files.
func verifyFiles(cmd *cobra.Command, paths []string, v *audit.Verifier, checkpoints bool) error {
	path := ""
	for _, path = range paths {
		v.Next()
		if _, err := feed(v, path); err != nil {
			return err
		}
		if v.Failed() {
			break
		}
	}
	report, err := v.Finish()
	if err != nil {
		return failedVerification(cmd, fmt.Errorf("%s: %w", path, err))
	}
	return printReport(cmd, report, checkpoints)
}

// feed gives a verifier the lines of a file, and returns the last.
func feed(v *audit.Verifier, path string) (last []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, audit.MaxLine), audit.MaxLine+2)
	n := 0
	for ; lines.Scan(); n++ {
		v.Line(lines.Bytes())
		last = append(last[:0], lines.Bytes()...)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s: line %d has more than %d bytes", path, n+1, audit.MaxLine)
	}
	return last, lines.Err()
}

// verifyServer lets the HSM check its log, and holds it against the checkpoints.
func verifyServer(cmd *cobra.Command, v *audit.Verifier, checkpoints bool) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	entries, err := verifyInside(c)
	if err != nil {
		return failedVerification(cmd, err)
	}
	if !checkpoints {
		return printFields(cmd, []field{
			{"The log holds", "sound", true},
			{"Entries", "entries", entries},
			{"Proven by a checkpoint", "proven", "nothing: the HSM's owner could have made another log"},
		})
	}
	err = auditLines{client: c}.each(func(line string) error {
		v.Line([]byte(line))
		return nil
	})
	if err != nil {
		return err
	}
	report, err := v.Finish()
	if err != nil {
		return failedVerification(cmd, err)
	}
	return printReport(cmd, report, checkpoints)
}

// verifyInside asks the HSM, and returns which entries there are.
func verifyInside(c *link) (entryRange, error) {
	var reply wire.AuditVerifyReply
	if err := c.Do(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &reply); err != nil {
		return entryRange{}, fmt.Errorf("verifying the audit log: %w", err)
	}
	if !reply.Sound {
		return entryRange{}, &audit.Fault{Kind: audit.FaultKind(reply.Kind), First: reply.First, Last: reply.Last, Cause: reply.Fault}
	}
	return entryRange{reply.Oldest, reply.Newest}, nil
}

// entryRange is entries of the log that follow each other, by their numbers.
type entryRange struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func (r entryRange) String() string { return fmt.Sprintf("%d to %d", r.First, r.Last) }

// printReport shows what a log that holds was found to be.
func printReport(cmd *cobra.Command, r audit.Report, checkpoints bool) error {
	fields := []field{
		{"The log holds", "sound", true},
		{"HSM", "serial", r.Serial},
		{"Entries", "entries", entryRange{r.First, r.Last}},
	}
	if r.Sealed != 0 {
		fields = append(fields, field{"Signed as exported", "sealed", fmt.Sprintf("up to entry %d, with %v", r.Sealed, r.Key)})
	}
	switch {
	case r.Proven != 0:
		fields = append(fields, field{"Proven by a checkpoint", "proven", fmt.Sprintf("up to entry %d, by %s", r.Proven, r.Checkpoint)})
	case checkpoints:
		fields = append(fields, field{"Proven by a checkpoint", "proven", "nothing: the checkpoints are older than the first entry"})
	default:
		fields = append(fields, field{"Proven by a checkpoint", "proven", "nothing: whoever could write the file could have made another log"})
	}
	if len(r.Unused) > 0 {
		fields = append(fields, field{"Older than the first entry", "unused", strings.Join(r.Unused, ", ")})
	}
	return printFields(cmd, fields)
}

// failedVerification prints a fault in JSON where that is wanted, and returns it.
func failedVerification(cmd *cobra.Command, err error) error {
	var fault *audit.Fault
	if asJSON, _ := wantsJSON(cmd); !asJSON || !errors.As(err, &fault) {
		return err
	}
	return errors.Join(err, printFields(cmd, []field{
		{"", "sound", false},
		{"", "kind", string(fault.Kind)},
		{"", "first", fault.First},
		{"", "last", fault.Last},
		{"", "cause", fault.Cause},
		{"", "checkpoint", fault.Checkpoint},
	}))
}
