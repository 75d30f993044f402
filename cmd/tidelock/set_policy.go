package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
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

// request asks for settings, of the HSM's policies or of a partition's.
func request(settings []setting) (r wire.SetPartitionPoliciesRequest) {
	for _, s := range settings {
		r.Ids, r.Values = append(r.Ids, s.id), append(r.Values, s.value)
	}
	return r
}

// effect is what the server says that settings come to.
type effect struct {
	wire.SetPartitionPoliciesReply
	changes []string // what becomes of each policy
	lost    []string // what is erased
}

// effect reads the server's answer for people. names are the partitions that it may speak of.
func (p policies) effect(r wire.SetPartitionPoliciesReply, names []partitionName) (e effect, err error) {
	if len(r.Becomes) != len(r.Changed) || len(r.Objects) != len(r.Slots) || len(r.UsedBytes) != len(r.Slots) || len(r.RoleUsers) != len(r.RoleSlots) {
		return e, errors.New("the change of policies: the server's answer is malformed")
	}
	e.SetPartitionPoliciesReply = r
	for i, id := range r.Changed {
		at, err := p.find(id)
		if err != nil {
			return e, err
		}
		e.changes = append(e.changes, fmt.Sprintf("policy %d (%s) from %d to %d", id, p.Names[at], p.Values[at], r.Becomes[i]))
	}
	for i, slot := range r.Slots {
		place := partitionName{slot: slot}
		if at := slices.IndexFunc(names, func(n partitionName) bool { return n.slot == slot }); at >= 0 {
			place = names[at]
		}
		e.lost = append(e.lost, objectsOf(place, r.Objects[i], r.UsedBytes[i]))
		for j, of := range r.RoleSlots {
			if of == slot {
				e.lost = append(e.lost, fmt.Sprintf("%v: the role %v", place, roleOf(r.RoleUsers[j])))
			}
		}
	}
	return e, nil
}

// roleOf names a partition's role for people.
func roleOf(user uint64) string {
	for _, r := range partitionRoles {
		if uint64(r.user) == user {
			return r.String()
		}
	}
	return fmt.Sprintf("of user type %#x", user)
}

// idle are the settings that nothing in this release obeys.
func (p policies) idle(settings []setting, e effect) (list []string) {
	for _, s := range settings {
		if i, err := p.find(s.id); err == nil && p.Effects[i] == effectNone && slices.Contains(e.Changed, s.id) {
			list = append(list, fmt.Sprintf("%d (%s)", s.id, p.Names[i]))
		}
	}
	return list
}

// print is the answer of a dry run.
func (e effect) print(cmd *cobra.Command) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, map[string]any{"dryRun": true, "changes": append([]string{}, e.changes...), "lost": append([]string{}, e.lost...)})
	}
	w := cmd.OutOrStdout()
	if len(e.changes) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was changed. Nothing would change.")
		return err
	}
	fmt.Fprintf(w, "Nothing was changed. This would change:\n  %s\n", strings.Join(e.changes, "\n  "))
	if len(e.lost) == 0 {
		_, err := fmt.Fprintln(w, "Nothing would be destroyed.")
		return err
	}
	_, err = fmt.Fprintf(w, "This would be destroyed:\n  %s\n", strings.Join(e.lost, "\n  "))
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

// apply makes changes of the owner's policies, when whoever asks is sure. The server judges
// them first, with nobody logged in: nobody is asked about a change that cannot be.
func (o policyOwner) apply(cmd *cobra.Command, c *link, settings []setting, p *pins, sure *confirmation) error {
	place, err := o.place(cmd, c)
	if err != nil {
		return err
	}
	now, err := o.list(c, place)
	if err != nil {
		return err
	}
	s, err := openSession(cmd, c, place)
	if err != nil {
		return err
	}
	r := request(settings)
	r.DryRun = true
	judged, err := o.ask(s, r)
	if err != nil {
		return err
	}
	names, err := listPartitions(c)
	if err != nil {
		return err
	}
	would, err := now.effect(judged, names)
	if err != nil {
		return err
	}
	if sure.dryRun {
		return would.print(cmd)
	}
	if len(would.lost) > 0 { // an HSM without partitions loses nothing
		if ok, err := sure.ask(cmd, place.label, would.lost, would.changes...); err != nil || !ok {
			return err
		}
	}
	if err := s.login(cmd, o.officer, p); err != nil {
		return err
	}
	r.DryRun, r.Destructive = false, would.Erased
	done, err := o.ask(s, r)
	if err != nil {
		return err
	}
	result := []field{{"Changed", "changed", append(numbers{}, done.Changed...)}, {o.erases, "erased", done.Erased}}
	if idle := now.idle(settings, would); len(idle) > 0 {
		result = append(result, field{"No effect in this release", "noEffect", strings.Join(idle, ", ")})
	}
	return printFields(cmd, result)
}

// ask makes the call, and gives a refusal its reason.
func (o policyOwner) ask(s *session, r wire.SetPartitionPoliciesRequest) (wire.SetPartitionPoliciesReply, error) {
	p, err := o.set(s, r)
	if err != nil {
		return p, fmt.Errorf("changing policies: %w", refusedPolicies(s.explained(err), p.Fault))
	}
	return p, nil
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
