package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// updatePlan is what an update would make of the HSM.
type updatePlan struct {
	wire.FirmwarePlanReply
	from, to   firmware.Level
	label      string // the HSM's
	mechanisms []firmware.Restriction
}

// planUpdate asks for the plan. What cannot be is refused here, with the way out.
func planUpdate(c *link, to firmware.Level) (*updatePlan, error) {
	state, err := firmwareInfo(c)
	if err != nil {
		return nil, err
	}
	if err := firmware.CanUpdate(state.Current, to); err != nil {
		return nil, err
	}
	info, err := hsmInfo(c)
	if err != nil {
		return nil, err
	}
	p := &updatePlan{from: state.Current, to: to, label: info.Label}
	if err := c.Do(wire.CallFirmwarePlan, 0, &wire.FirmwarePlanRequest{Level: to.String()}, &p.FirmwarePlanReply); err != nil {
		return nil, fmt.Errorf("what an update to %v would do: %w", to, err)
	}
	for _, r := range firmware.Restrictions(p.from, p.to) {
		if _, built := mech.Lookup(r.Before.Type); built {
			p.mechanisms = append(p.mechanisms, r)
		}
	}
	return p, p.check()
}

// check refuses an answer whose columns are of different lengths.
func (p *updatePlan) check() error {
	n, m := len(p.Slots), len(p.PolicySlots)
	if len(p.Labels) != n || len(p.Versions) != n || len(p.NewVersions) != n || len(p.Sizes) != n || len(p.NewSizes) != n || len(p.Objects) != n ||
		len(p.Policies) != m || len(p.PolicyNames) != m || len(p.PolicyValues) != m {
		return errors.New("the plan of the update: the server's answer is malformed")
	}
	return nil
}

// print is the answer of a dry run.
func (p *updatePlan) print(cmd *cobra.Command) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, p.object())
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, "Nothing was changed. This would change:")
	return p.describe(out)
}

// describe says what changes, for people.
func (p *updatePlan) describe(out io.Writer) error {
	fmt.Fprintf(out, "Firmware level: %v to %v\n", p.from, p.to)
	if p.NewMemory != p.MemoryBytes {
		fmt.Fprintf(out, "Memory: %d to %d bytes\n", p.MemoryBytes, p.NewMemory)
	}
	if p.Converts {
		fmt.Fprintln(out, "Every object is rewritten, every partition becomes version 0.")
	}
	fmt.Fprintln(out)
	w := newTable(out, true)
	fmt.Fprintln(w, "Partition\tVersion\tSize\tObjects")
	for i, label := range p.Labels {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", label, p.versions(i), change(p.Sizes[i], p.NewSizes[i]), p.Objects[i])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, line := range p.newPolicies() {
		if i == 0 {
			fmt.Fprintln(out, "\nNew policies:")
		}
		fmt.Fprintln(out, " ", line)
	}
	for i, r := range p.mechanisms {
		if i == 0 {
			fmt.Fprintln(out, "\nMechanisms that lose something; keys made for them stay:")
		}
		fmt.Fprintf(out, "  %v: %s\n", r.Before.Type, strings.Join(r.Losses(), "; "))
	}
	return nil
}

// newPolicies is a line for each policy and value that come, with where they come.
func (p *updatePlan) newPolicies() (lines []string) {
	places := make(map[string][]string)
	var order []string
	for i, slot := range p.PolicySlots {
		setting := fmt.Sprintf("%d = %d (%s)", p.Policies[i], p.PolicyValues[i], p.PolicyNames[i])
		if places[setting] == nil {
			order = append(order, setting)
		}
		places[setting] = append(places[setting], p.place(slot))
	}
	for _, setting := range order {
		where := strings.Join(places[setting], ", ")
		if n := len(places[setting]); n > 1 && n == len(p.Slots) {
			where = "every partition"
		}
		lines = append(lines, where+": "+setting)
	}
	return lines
}

// change is a value that may become another.
func change(before, after uint64) string {
	if before == after {
		return fmt.Sprint(before)
	}
	return fmt.Sprintf("%d to %d", before, after)
}

// versions are what the partition in a row is, and becomes.
func (p *updatePlan) versions(row int) string {
	switch {
	case !p.to.Has(firmware.PartitionVersions):
		return "none"
	case !p.from.Has(firmware.PartitionVersions):
		return fmt.Sprintf("none to %d", p.NewVersions[row])
	}
	return change(p.Versions[row], p.NewVersions[row])
}

// place names what a policy is of.
func (p *updatePlan) place(slot uint64) string {
	for i, s := range p.Slots {
		if s == slot {
			return p.Labels[i]
		}
	}
	return "the HSM"
}

// object is the plan in JSON.
func (p *updatePlan) object() map[string]any {
	partitions, policies, mechanisms := []map[string]any{}, []map[string]any{}, []map[string]any{}
	for i, slot := range p.Slots {
		partitions = append(partitions, map[string]any{
			"slot": slot, "label": p.Labels[i], "objects": p.Objects[i], "version": p.versions(i),
			"totalBytes": p.Sizes[i], "newTotalBytes": p.NewSizes[i],
		})
	}
	for i, slot := range p.PolicySlots {
		policies = append(policies, map[string]any{
			"of": p.place(slot), "policy": p.Policies[i], "name": p.PolicyNames[i], "value": p.PolicyValues[i],
		})
	}
	for _, r := range p.mechanisms {
		mechanisms = append(mechanisms, map[string]any{"mechanism": r.Before.Type.String(), "losses": r.Losses()})
	}
	return map[string]any{
		"dryRun": true, "firmware": p.from.String(), "newFirmware": p.to.String(), "converts": p.Converts,
		"memoryBytes": p.MemoryBytes, "newMemoryBytes": p.NewMemory,
		"partitions": partitions, "policies": policies, "mechanisms": mechanisms,
	}
}

// change lets the user confirm an update by typing the HSM's label.
func (c *confirmation) change(cmd *cobra.Command, p *updatePlan) (bool, error) {
	if c.yes {
		return true, nil
	}
	if !interactive(cmd) {
		return false, wrongUse("an update changes the HSM for good, and nobody can be asked without a terminal: --yes does it, --dry-run only tells")
	}
	if err := p.describe(cmd.ErrOrStderr()); err != nil {
		return false, err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "\nThere is no way back but a rollback, which destroys every key.")
	return true, typed(cmd, p.label)
}

// plainly is an error for people, without its code.
func plainly(err error) string {
	var coded *cryptoki.Error
	if errors.As(err, &coded) && coded.Cause != nil {
		return coded.Cause.Error()
	}
	return err.Error()
}
