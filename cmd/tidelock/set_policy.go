package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
)

// setting is one NUMBER=VALUE of a command line.
type setting struct{ id, value uint64 }

// parseSettings reads the changes that are asked for.
func parseSettings(args []string) ([]setting, error) {
	settings := make([]setting, len(args))
	for i, a := range args {
		id, value, found := strings.Cut(a, "=")
		n, err := strconv.ParseUint(id, 10, 32)
		v, err2 := strconv.ParseUint(value, 10, 64)
		switch value {
		case "on":
			v, err2 = 1, nil
		case "off":
			v, err2 = 0, nil
		}
		if !found || err != nil || err2 != nil {
			return nil, wrongUse("%q: a change is NUMBER=VALUE, such as 15=1 or 15=on", a)
		}
		if slices.ContainsFunc(settings[:i], func(s setting) bool { return s.id == n }) {
			return nil, wrongUse("policy %d is named twice", n)
		}
		settings[i] = setting{n, v}
	}
	return settings, nil
}

// changes is what settings do to policies.
type changes struct {
	ids, values []uint64
	all         []string // what each makes of its policy
	destructive []string // those that erase
	idle        []string // that have no effect in this release
	endsVersion bool     // a partition of version 1 becomes one of version 0
}

func (p policies) changes(settings []setting) (c changes, err error) {
	version := p.value(versionPolicy)
	moves := false
	for _, s := range settings {
		moves = moves || s.id == versionPolicy && s.value != version
	}
	for _, s := range settings {
		i, err := p.find(s.id)
		if err != nil {
			return c, err
		}
		c.ids, c.values = append(c.ids, s.id), append(c.values, s.value)
		what := fmt.Sprintf("policy %d (%s) from %d to %d", s.id, p.Names[i], p.Values[i], s.value)
		if s.value != p.Values[i] {
			c.all = append(c.all, what)
		}
		if p.destroys(i, s.value) && !(moves && slices.Contains(movesWithVersion, s.id)) {
			c.destructive = append(c.destructive, what)
		}
		if p.Effects[i] == effectNone && s.value != p.Values[i] {
			c.idle = append(c.idle, fmt.Sprintf("%d (%s)", s.id, p.Names[i]))
		}
	}
	c.endsVersion = moves && version == 1
	return c, nil
}

// print is the answer of a dry run. Whether the policies go together is the server's to
// say, when they are set.
func (ch changes) print(cmd *cobra.Command, lost []string) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, map[string]any{"dryRun": true, "changes": append([]string{}, ch.all...), "lost": append([]string{}, lost...)})
	}
	w := cmd.OutOrStdout()
	if len(ch.all) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was changed. Nothing would change.")
		return err
	}
	fmt.Fprintf(w, "Nothing was changed. This would change:\n  %s\n", strings.Join(ch.all, "\n  "))
	if len(lost) == 0 {
		_, err := fmt.Fprintln(w, "Nothing would be destroyed.")
		return err
	}
	_, err = fmt.Fprintf(w, "This would be destroyed:\n  %s\n", strings.Join(lost, "\n  "))
	return err
}

// numbers print with commas between them.
type numbers []uint64

func (n numbers) String() string {
	if len(n) == 0 {
		return "nothing"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]uint64(n)), " ", ", "), "[]")
}

// differing are the policies whose values changed, those included that followed another.
func (p policies) differing(after policies) numbers {
	ids := numbers{}
	for i, id := range after.Ids {
		if p.value(id) != after.Values[i] {
			ids = append(ids, id)
		}
	}
	return ids
}

// versionPolicy is a partition's version; those that move with it leave it to that policy
// whether the move erases.
const versionPolicy = 41

var movesWithVersion = []uint64{3, 7, 31, 32, 40}

// change is the command that changes the owner's policies.
func (o policyOwner) change() *cobra.Command {
	var p pins
	var sure confirmation
	cmd := &cobra.Command{
		Use:               "set-policy NUMBER=VALUE...",
		Short:             fmt.Sprintf("Change policies of %s, as the %v", o.of, o.officer),
		Long:              "set-policy changes policies, all or none, in whatever order they are given.\n" + o.long,
		Example:           o.example,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completePolicies(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := parseSettings(args)
			if err != nil {
				return err
			}
			c, err := o.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			return o.apply(cmd, c, settings, &p, &sure)
		},
	}
	o.flags(cmd)
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

// apply makes changes of the owner's policies, when whoever asks is sure.
func (o policyOwner) apply(cmd *cobra.Command, c *link, settings []setting, p *pins, sure *confirmation) error {
	place, err := o.place(cmd, c)
	if err != nil {
		return err
	}
	now, err := o.list(c, place)
	if err != nil {
		return err
	}
	ch, err := now.changes(settings)
	if err != nil {
		return err
	}
	var lost []string
	if len(ch.destructive) > 0 {
		if lost, err = o.lost(c, place, ch); err != nil {
			return err
		}
	}
	if sure.dryRun {
		return ch.print(cmd, lost)
	}
	if len(lost) > 0 {
		if ok, err := sure.ask(cmd, place.label, append(lost, ch.destructive...)); err != nil || !ok {
			return err
		}
	}
	s, err := openSession(cmd, c, place)
	if err != nil {
		return err
	}
	if err := s.login(cmd, o.officer, p); err != nil {
		return err
	}
	erased, fault, err := o.set(s, ch)
	if err != nil {
		return fmt.Errorf("changing policies: %w", refusedPolicies(s.explained(err), fault))
	}
	after, err := o.list(c, place)
	if err != nil {
		return err
	}
	result := []field{{"Changed", "changed", now.differing(after)}, {o.erases, "erased", erased}}
	if len(ch.idle) > 0 {
		result = append(result, field{"No effect in this release", "noEffect", strings.Join(ch.idle, ", ")})
	}
	return printFields(cmd, result)
}

// reasoned is an error that says what is wrong, and needs no advice on its code.
type reasoned struct{ error }

func (r reasoned) Unwrap() error { return r.error }

// refusedPolicies is why the server refused policies, in its own words.
func refusedPolicies(err error, fault string) error {
	if cryptoki.Code(err) == cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES {
		err = fmt.Errorf("%w (CKR_FAILED_DEPENDENCIES)", err)
	}
	if fault == "" {
		return err
	}
	return reasoned{fmt.Errorf("%w: %s", err, printable(fault))}
}
