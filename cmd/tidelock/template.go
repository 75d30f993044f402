package main

import (
	"embed"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/wire"
)

//go:embed profiles
var profiles embed.FS

// maxTemplate is the longest template that is read, in bytes; the server takes no longer
// one.
const maxTemplate = 64 << 10

// templateFlags say which policies a partition begins with.
type templateFlags struct{ file, profile string }

func (t *templateFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.file, "apply-template", "", "`file` with the policies that the partition begins with, as partition policies --export-template writes it")
	cmd.Flags().StringVar(&t.profile, "profile", "default", "policies that the partition begins with: default, or strict (a key has one purpose, which never changes)")
	// The flag was made in the line above.
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]string{"default", "strict"}, cobra.ShellCompDirectiveNoFileComp))
}

// read is the template that is meant; nothing for a partition as it was created.
func (t *templateFlags) read() ([]byte, error) {
	switch {
	case t.file != "" && t.profile != "default":
		return nil, wrongUse("--apply-template and --profile both say which policies the partition begins with: give one")
	case t.profile == "strict":
		return profiles.ReadFile("profiles/strict.policies")
	case t.profile != "default":
		return nil, wrongUse("--profile %s: a profile is default or strict", t.profile)
	case t.file == "":
		return nil, nil
	}
	f, err := os.Open(t.file)
	if err != nil {
		return nil, fmt.Errorf("--apply-template: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("--apply-template: %w", err)
	case len(text) > maxTemplate:
		return nil, fmt.Errorf("--apply-template: %s is longer than %d bytes: that is no template", t.file, maxTemplate)
	case len(text) == 0:
		return nil, fmt.Errorf("--apply-template: %s is empty", t.file)
	}
	return text, nil
}

// exportTemplate writes the policies of a partition into a file, which is replaced.
func exportTemplate(cmd *cobra.Command, c *link, place partitionName, file string) error {
	if err := needs(c, firmware.PolicyTemplates, "--export-template"); err != nil {
		return err
	}
	var r wire.PartitionTemplateReply
	if err := c.Do(wire.CallPartitionTemplate, 0, &wire.PartitionTemplateRequest{Slot: place.slot}, &r); err != nil {
		return fmt.Errorf("the policies of %v: %w", place, err)
	}
	if err := os.WriteFile(file, r.Template, 0o644); err != nil {
		return fmt.Errorf("--export-template: %w", err)
	}
	return printFields(cmd, []field{{"Template", "file", file}, {"Partition", "partition", place.label}})
}
