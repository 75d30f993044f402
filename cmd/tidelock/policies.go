package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// Effects of a policy, as the server numbers them.
const (
	effectNone = iota
	effectYes
	effectRefused
)

// policies is what a server tells of the policies of one level.
type policies struct{ wire.PartitionPoliciesReply }

// check refuses an answer whose columns are of different lengths.
func (p policies) check() error {
	for _, n := range []int{len(p.Values), len(p.Capabilities), len(p.Names), len(p.Destructive), len(p.Effects), len(p.Abouts), len(p.Rules), len(p.Verified)} {
		if n != len(p.Ids) {
			return errors.New("the policies: the server's answer is malformed")
		}
	}
	return nil
}

// row is the policy at index i, as a table shows it.
func (p policies) row(i int) []field {
	return []field{
		{"Policy", "policy", p.Ids[i]},
		{"Name", "name", p.Names[i]},
		{"Value", "value", p.Values[i]},
		{"Capability", "capability", p.Capabilities[i]},
		{"Erases", "destructive", p.Destructive[i]},
		{"Effect", "effect", [...]string{"none", "yes", "refused"}[min(p.Effects[i], effectRefused)]},
	}
}

// whole is everything that is known of the policy at index i.
func (p policies) whole(i int) []field {
	erases := map[string]string{"on": "when it goes up", "off": "when it goes down", "both": "when it changes"}[p.Destructive[i]]
	if erases == "" {
		erases = "never"
	}
	effect := [...]string{"no effect in this release", "in force", "stays as it is: nothing in this release would obey another value"}[min(p.Effects[i], effectRefused)]
	rules := p.Rules[i]
	if rules == "" {
		rules = "none"
	}
	return []field{
		{"Policy", "policy", p.Ids[i]},
		{"Name", "name", p.Names[i]},
		{"What it is", "about", p.Abouts[i]},
		{"Value", "value", p.Values[i]},
		{"Capability", "capability", p.Capabilities[i]},
		{"Erases", "erases", erases},
		{"Effect", "effect", effect},
		{"Rules", "rules", rules},
		{"Documented", "verified", p.Verified[i] != 0},
	}
}

// find gives the index of a policy. Error: CKR_POLICY_ID_INVALID.
func (p policies) find(id uint64) (int, error) {
	if i := slices.Index(p.Ids, id); i >= 0 {
		return i, nil
	}
	return 0, reasoned{cryptoki.Errorf(cryptoki.CKR_POLICY_ID_INVALID, "there is no policy %d at this firmware level", id)}
}

// policyOwner is the HSM or a partition, for the commands that are alike for both.
type policyOwner struct {
	command   string // that the owner's commands are under
	of        string // whose policies, for people
	officer   role   // who changes them
	erases    string // title for whether a change has erased
	templates bool   // the policies go into files
	// long and example are those of set-policy.
	long, example string
	// connect, flags and place find the owner; list asks for its policies, and set makes the
	// changes, or has them judged.
	connect func(cmd *cobra.Command) (*link, error)
	flags   func(cmd *cobra.Command)
	place   func(cmd *cobra.Command, c *link) (partitionName, error)
	list    func(c *link, place partitionName) (policies, error)
	set     func(s *session, r wire.SetPartitionPoliciesRequest) (wire.SetPartitionPoliciesReply, error)
}

var hsmPolicyOwner = policyOwner{
	command: "hsm", of: "the HSM", officer: roleSO, erases: "Partitions erased",
	long:    "A change in a destructive direction erases every partition, and asks first.",
	example: "  tidelock hsm set-policy 15=on --dry-run\n  tidelock hsm set-policy 21=off",
	connect: administer,
	flags:   func(*cobra.Command) {},
	place: func(cmd *cobra.Command, c *link) (partitionName, error) {
		info, err := hsmInfo(c)
		return partitionName{slot: wire.AdminSlot, label: info.Label}, err
	},
	list: func(c *link, _ partitionName) (policies, error) {
		var r wire.HSMPoliciesReply
		if err := c.Do(wire.CallHSMPolicies, 0, &wire.HSMPoliciesRequest{}, &r); err != nil {
			return policies{}, fmt.Errorf("the HSM's policies: %w", err)
		}
		p := policies{wire.PartitionPoliciesReply(r)}
		return p, p.check()
	},
	set: func(s *session, r wire.SetPartitionPoliciesRequest) (wire.SetPartitionPoliciesReply, error) {
		request := wire.SetHSMPoliciesRequest(r)
		var reply wire.SetHSMPoliciesReply
		err := s.do(wire.CallSetHSMPolicies, &request, &reply)
		return wire.SetPartitionPoliciesReply(reply), err
	},
}

var partitionPolicyOwner = policyOwner{
	command: "partition", of: "a partition", officer: rolePO, erases: "Objects erased", templates: true,
	long: `A change in a destructive direction erases the partition's objects, and asks first; label,
domain and roles stay. With policy 41 a partition becomes of version 1, which keeps its
objects, or of version 0, which erases them and takes the Limited Crypto Officer away.`,
	example: `  tidelock partition set-policy 20=5 --partition payments
  tidelock partition set-policy 0=off 1=on --dry-run
  tidelock partition set-policy 41=1`,
	connect: connect,
	flags:   partitionFlag,
	place:   choosePartition,
	list: func(c *link, place partitionName) (policies, error) {
		var p policies
		if err := c.Do(wire.CallPartitionPolicies, 0, &wire.PartitionPoliciesRequest{Slot: place.slot}, &p.PartitionPoliciesReply); err != nil {
			return policies{}, fmt.Errorf("the policies of %v: %w", place, err)
		}
		return p, p.check()
	},
	set: func(s *session, r wire.SetPartitionPoliciesRequest) (wire.SetPartitionPoliciesReply, error) {
		var reply wire.SetPartitionPoliciesReply
		err := s.do(wire.CallSetPartitionPolicies, &r, &reply)
		return reply, err
	},
}

// show is the command that lists the owner's policies.
func (o policyOwner) show() *cobra.Command {
	var verbose bool
	var template string
	cmd := &cobra.Command{
		Use:   "policies",
		Short: "Show the policies of " + o.of,
		Long: `policies lists the policies with their values and capabilities, the direction in which a
change erases (on: the value goes up, off: it goes down) and whether anything in this
release obeys the value. --verbose tells all of each: what it is, what it depends on,
and whether defaults and directions are documented ones or the best reading of what is
known.`,
		Example: fmt.Sprintf("  tidelock %s policies\n  tidelock %s policies --verbose", o.command, o.command),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withServer(cmd, func(c *link) error {
				place, err := o.place(cmd, c)
				if err != nil {
					return err
				}
				if template != "" {
					return exportTemplate(cmd, c, place, template)
				}
				p, err := o.list(c, place)
				if err != nil {
					return err
				}
				show, print := p.row, printTable
				if verbose {
					show, print = p.whole, printEach
				}
				rows := make([][]field, len(p.Ids))
				for i := range rows {
					rows[i] = show(i)
				}
				return print(cmd, rows)
			})
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "tell everything of each policy")
	if o.templates {
		cmd.Flags().StringVar(&template, "export-template", "", "`file` that the values are written to, for partition init --apply-template")
	}
	o.flags(cmd)
	return cmd
}
