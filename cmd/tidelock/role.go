package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/wire"
)

func roleCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "role",
		Short: "Who may do what, and their PINs",
		Long: `The roles are so (HSM SO) and auditor (Auditor) of the HSM, and po (Partition SO), co
(Crypto Officer) and cu (Crypto User) of each partition; a partition of version 1 has
lco (Limited Crypto Officer) too, who does with keys what the Crypto Officer does, and
makes no roles. The Partition SO makes the Crypto Officer, who makes the others. Wrong
PINs in a row have consequences: three of the HSM SO zeroize the HSM, ten of a Partition
SO zeroize his partition, and the others are locked.`,
		Example: "  tidelock role init co --partition payments\n  tidelock role changepw co --partition payments",
	}, roleListCommand(), roleShowCommand(), roleInitCommand(), roleChangeCommand(), roleResetCommand())
}

// The flags of a role's state (CA_ROLE_STATE).
const (
	stateInitialized = 0x01
	stateLocked      = 0x02
	stateMustChange  = 0x10
)

// stateName says a role's state in words.
func stateName(flags uint8) string {
	switch {
	case flags&stateInitialized == 0:
		return "not initialised"
	case flags&stateLocked != 0:
		return "locked"
	case flags&stateMustChange != 0:
		return "must change the PIN"
	}
	return "ready"
}

// roleState asks for the state of a role.
func roleState(c *link, slot uint64, r role) ([]field, error) {
	var state wire.RoleStateReply
	if err := c.Do(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: slot, User: uint64(r.user)}, &state); err != nil {
		return nil, fmt.Errorf("the state of the %v: %w", r, err)
	}
	return []field{
		{"Role", "role", r.name},
		{"Name", "name", r.title},
		{"State", "state", stateName(state.Flags)},
		{"Tries left", "attemptsLeft", state.AttemptsLeft},
	}, nil
}

// hasRole refuses the Limited Crypto Officer of a partition that has none.
func hasRole(c *link, p partitionName, r role) error {
	if r != roleLCO {
		return nil
	}
	if err := needs(c, firmware.PartitionVersions, "the "+r.title); err != nil {
		return err
	}
	info, err := partitionInfo(c, p)
	if err != nil {
		return err
	}
	if _, has := roleIn(info, r); !has {
		return reasoned{cryptoki.Errorf(cryptoki.CKR_USER_PIN_NOT_INITIALIZED,
			"%v is of version %d, and only one of version 1 has a %v (`tidelock partition set-policy 41=1`)", p, info.Version, r)}
	}
	return nil
}

func roleListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the roles of the HSM and of a partition",
		Long: `list shows the roles of a partition with their states and how many wrong PINs they
still bear; on the administrator's socket also those of the HSM.`,
		Example: "  tidelock role list --partition payments",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			var rows [][]field
			for _, r := range []role{roleSO, roleAuditor} {
				row, err := roleState(c, wire.AdminSlot, r)
				if cryptoki.Code(err) == cryptoki.CKR_SLOT_ID_INVALID {
					break // not the administrator's socket
				}
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			all, err := listPartitions(c)
			if err != nil {
				return err
			}
			if len(all) > 0 || cmd.Flags().Changed("partition") {
				p, err := choosePartition(cmd, c)
				if err != nil {
					return err
				}
				info, err := partitionInfo(c, p)
				if err != nil {
					return err
				}
				for _, r := range partitionRoles {
					if _, has := roleIn(info, r); !has {
						continue
					}
					row, err := roleState(c, p.slot, r)
					if err != nil {
						return err
					}
					rows = append(rows, row)
				}
			}
			return printTable(cmd, rows)
		},
	}
	partitionFlag(cmd)
	return cmd
}

func roleShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show {so|auditor|po|co|lco|cu}",
		Short:             "Show the state of a role",
		Example:           "  tidelock role show co --partition payments",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRole(roles...),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRole(args[0], roles...)
			if err != nil {
				return err
			}
			c, slot, err := placeOf(cmd, r)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := hasRole(c, slot, r); err != nil {
				return err
			}
			state, err := roleState(c, slot.slot, r)
			if err != nil {
				return err
			}
			return printFields(cmd, state)
		},
	}
	partitionFlag(cmd)
	return cmd
}

func roleInitCommand() *cobra.Command {
	var p pins
	cmd := &cobra.Command{
		Use:   "init {co|lco|cu|auditor}",
		Short: "Give a role its first PIN",
		Long: `init makes the Crypto Officer (the Partition SO logs in), the Limited Crypto Officer or
the Crypto User (the Crypto Officer logs in), or the Auditor (nobody logs in; on the
administrator's socket). The PIN of co, lco and cu is an initial one: its holder changes
it before he can do anything. The HSM SO is made by hsm init, a Partition SO by partition
init.

The PIN that logs in is asked for first, then the new one; for the auditor only the new
one.`,
		Example: `  tidelock role init co --partition payments
  tidelock role init co --pin-file po.pin --new-pin-file co.pin
  tidelock role init auditor`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRole(roleCO, roleLCO, roleCU, roleAuditor),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRole(args[0], roleCO, roleLCO, roleCU, roleAuditor)
			if err != nil {
				return err
			}
			s, err := superior(cmd, r, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			pin, err := p.next(cmd, r.title)
			if err != nil {
				return err
			}
			defer pin.Wipe()
			request := wire.InitRoleRequest{User: uint64(r.user), PIN: wire.Secret(pin.Expose())}
			if err := s.do(wire.CallInitRole, &request, &wire.InitRoleReply{}); err != nil {
				return fmt.Errorf("making the %v: %w", r, fixed(r, s.explained(err)))
			}
			state, err := roleState(s.link, s.partition.slot, r)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(state, func(f field) bool { return f.value == stateName(stateInitialized|stateMustChange) }) {
				state = append(state, field{"Next", "next", fmt.Sprintf("tidelock role changepw %s --partition %s", r.name, s.partition.label)})
			}
			return printFields(cmd, state)
		},
	}
	partitionFlag(cmd)
	p.flags(cmd, true)
	return cmd
}

// superior opens the session in which a role is made or its PIN set anew: with
// whoever may do that logged in.
func superior(cmd *cobra.Command, r role, p *pins) (*session, error) {
	switch r {
	case roleCO:
		return enter(cmd, rolePO, p)
	case roleLCO, roleCU:
		if err := withPlace(cmd, func(c *link, place partitionName) error { return hasRole(c, place, r) }); err != nil {
			return nil, err
		}
		return enter(cmd, roleCO, p)
	}
	c, err := administer(cmd)
	if err != nil {
		return nil, err
	}
	s, err := openSession(cmd, c, administration)
	if err == nil {
		err = s.logout() // the Auditor is made while nobody is logged in
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

func roleChangeCommand() *cobra.Command {
	var p pins
	cmd := &cobra.Command{
		Use:   "changepw {so|auditor|po|co|lco|cu}",
		Short: "Change a role's own PIN",
		Long: `changepw asks for the PIN that the role has and for the new one. A wrong present PIN
counts like a wrong login.`,
		Example:           "  tidelock role changepw co --partition payments\n  tidelock role changepw so --pin-file old.pin --new-pin-file new.pin",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRole(roles...),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRole(args[0], roles...)
			if err != nil {
				return err
			}
			c, slot, err := placeOf(cmd, r)
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := openSession(cmd, c, slot)
			if err != nil {
				return err
			}
			old, err := p.present(cmd, r.title)
			if err != nil {
				return err
			}
			defer old.Wipe()
			if err := s.logout(); err != nil {
				return err
			}
			if err := s.loginWith(r, old); err != nil {
				return err
			}
			pin, err := p.next(cmd, r.title)
			if err != nil {
				return err
			}
			defer pin.Wipe()
			if pin.Equal(old) {
				return errors.New("the new PIN is the old one: nothing was changed")
			}
			request := wire.SetPINRequest{Old: wire.Secret(old.Expose()), New: wire.Secret(pin.Expose())}
			if err := s.do(wire.CallSetPIN, &request, &wire.SetPINReply{}); err != nil {
				return fmt.Errorf("changing the PIN of the %v: %w", r, err)
			}
			return printFields(cmd, []field{{"PIN changed", "changed", r.name}})
		},
	}
	partitionFlag(cmd)
	p.flags(cmd, true)
	return cmd
}

// fixed says why nobody gives the Crypto Officer another PIN, where that is refused.
func fixed(r role, err error) error {
	if r != roleCO || cryptoki.Code(err) != cryptoki.CKR_ACTION_PROHIBITED {
		return err
	}
	return reasoned{fmt.Errorf("%w: HSM policy 15 was off when the partition was initialised, so he keeps the PIN that he has; only `tidelock partition init` makes another, and erases", err)}
}

func roleResetCommand() *cobra.Command {
	var p pins
	cmd := &cobra.Command{
		Use:   "resetpw {co|lco|cu}",
		Short: "Give a role another PIN, and unlock it",
		Long: `resetpw sets the PIN of the Crypto Officer (the Partition SO logs in, and HSM policy 15
must have been on when the partition was initialised), or of the Limited Crypto Officer
or the Crypto User (the Crypto Officer logs in). It unlocks the role; what the partition
holds stays.`,
		Example:           "  tidelock role resetpw cu --partition payments",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRole(roleCO, roleLCO, roleCU),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRole(args[0], roleCO, roleLCO, roleCU)
			if err != nil {
				return err
			}
			s, err := superior(cmd, r, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			pin, err := p.next(cmd, r.title)
			if err != nil {
				return err
			}
			defer pin.Wipe()
			request := wire.ResetRoleRequest{User: uint64(r.user), PIN: wire.Secret(pin.Expose())}
			if err := s.do(wire.CallResetRole, &request, &wire.ResetRoleReply{}); err != nil {
				return fmt.Errorf("resetting the PIN of the %v: %w", r, fixed(r, s.explained(err)))
			}
			return printFields(cmd, []field{{"PIN set", "reset", r.name}})
		},
	}
	partitionFlag(cmd)
	p.flags(cmd, true)
	return cmd
}
