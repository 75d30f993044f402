package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/wire"
)

// policies is what a server tells of the policies of one level.
type policies struct {
	ids, values, capabilities []uint64
	names, destructive        []string
	effects                   []uint64
}

// check refuses an answer whose columns are of different lengths.
func (p policies) check() error {
	n := len(p.ids)
	if len(p.values) != n || len(p.capabilities) != n || len(p.names) != n || len(p.destructive) != n || len(p.effects) != n {
		return errors.New("the policies: the server's answer is malformed")
	}
	return nil
}

// row is the policy at index i, as a table shows it.
func (p policies) row(i int) []field {
	return []field{
		{"Policy", "policy", p.ids[i]},
		{"Name", "name", p.names[i]},
		{"Value", "value", p.values[i]},
		{"Capability", "capability", p.capabilities[i]},
		{"Destructive", "destructive", p.destructive[i]},
		{"In force", "inForce", p.effects[i] != 0},
	}
}

// find gives the index of a policy.
func (p policies) find(id uint64) (int, error) {
	for i := range p.ids {
		if p.ids[i] == id {
			return i, nil
		}
	}
	return 0, fmt.Errorf("there is no policy %d", id)
}

// destroys tells whether going from the present value to another may erase, by the
// word that the server has for the direction.
func (p policies) destroys(i int, value uint64) bool {
	switch p.destructive[i] {
	case "", "no":
		return false
	case "on":
		return p.values[i] == 0 && value != 0
	case "off":
		return p.values[i] != 0 && value == 0
	}
	return value != p.values[i]
}

func hsmPolicies(c *link) (policies, error) {
	var r wire.HSMPoliciesReply
	if err := c.Do(wire.CallHSMPolicies, 0, &wire.HSMPoliciesRequest{}, &r); err != nil {
		return policies{}, fmt.Errorf("the HSM's policies: %w", err)
	}
	p := policies{r.Ids, r.Values, r.Capabilities, r.Names, r.Destructive, r.Effects}
	return p, p.check()
}

func partitionPolicies(c *link, place partitionName) (policies, error) {
	var r wire.PartitionPoliciesReply
	if err := c.Do(wire.CallPartitionPolicies, 0, &wire.PartitionPoliciesRequest{Slot: place.slot}, &r); err != nil {
		return policies{}, fmt.Errorf("the policies of %v: %w", place, err)
	}
	p := policies{r.Ids, r.Values, r.Capabilities, r.Names, r.Destructive, r.Effects}
	return p, p.check()
}

func printPolicies(cmd *cobra.Command, p policies) error {
	rows := make([][]field, len(p.ids))
	for i := range rows {
		rows[i] = p.row(i)
	}
	return printTable(cmd, rows)
}

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
		settings[i] = setting{n, v}
	}
	return settings, nil
}

// changes are the settings in the form of a request, and the policies among them
// whose change destroys.
func (p policies) changes(settings []setting) (ids, values []uint64, destructive []string, err error) {
	for _, s := range settings {
		i, err := p.find(s.id)
		if err != nil {
			return nil, nil, nil, err
		}
		ids, values = append(ids, s.id), append(values, s.value)
		if p.destroys(i, s.value) {
			destructive = append(destructive, fmt.Sprintf("policy %d (%s) from %d to %d", s.id, p.names[i], p.values[i], s.value))
		}
	}
	return ids, values, destructive, nil
}

func partitionPoliciesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policies",
		Short:   "Show the policies of a partition",
		Example: "  tidelock partition policies --partition payments",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			place, err := choosePartition(cmd, c)
			if err != nil {
				return err
			}
			p, err := partitionPolicies(c, place)
			if err != nil {
				return err
			}
			return printPolicies(cmd, p)
		},
	}
	partitionFlag(cmd)
	return cmd
}

func partitionSetPolicyCommand() *cobra.Command {
	var p pins
	var sure confirmation
	cmd := &cobra.Command{
		Use:   "set-policy NUMBER=VALUE...",
		Short: "Change policies of a partition, as its Partition SO",
		Long: `set-policy changes policies, all or none. A change in a destructive direction erases the
partition's objects and asks first.`,
		Example: "  tidelock partition set-policy 20=5 --partition payments",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := parseSettings(args)
			if err != nil {
				return err
			}
			c, place, err := placeOf(cmd, rolePO)
			if err != nil {
				return err
			}
			defer c.Close()
			now, err := partitionPolicies(c, place)
			if err != nil {
				return err
			}
			ids, values, destructive, err := now.changes(settings)
			if err != nil {
				return err
			}
			if len(destructive) > 0 || sure.dryRun {
				lost, err := lostBy(destructive, func() ([]string, error) { return contentsOf(c, place) })
				if err != nil {
					return err
				}
				if ok, err := sure.ask(cmd, place.label, lost); err != nil || !ok {
					return err
				}
			}
			s, err := openSession(cmd, c, place)
			if err != nil {
				return err
			}
			if err := s.login(cmd, rolePO, &p); err != nil {
				return err
			}
			request := wire.SetPartitionPoliciesRequest{Ids: ids, Values: values, Destructive: len(destructive) > 0}
			var reply wire.SetPartitionPoliciesReply
			if err := s.do(wire.CallSetPartitionPolicies, &request, &reply); err != nil {
				return fmt.Errorf("changing policies: %w", s.explained(err))
			}
			return printFields(cmd, []field{{"Changed", "changed", len(ids)}, {"Objects erased", "erased", reply.Erased}})
		},
	}
	partitionFlag(cmd)
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

// lostBy is what destructive changes take with them; nothing when there are none.
func lostBy(destructive []string, contents func() ([]string, error)) ([]string, error) {
	if len(destructive) == 0 {
		return nil, nil
	}
	lost, err := contents()
	return append(lost, destructive...), err
}
