package main

import (
	"fmt"
	"math"
	"os/user"
	"strconv"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func clientCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "client",
		Short: "Which users of this host reach which partition",
		Long: `A partition exists only for the users whom the HSM SO has assigned to it: others see no
slot and have no try at a PIN. Users are named, or given as a number.`,
		Example: "  tidelock client assign alice --partition payments\n  tidelock client list",
	}, assignCommand("assign", "Let a user reach a partition, as the HSM SO", wire.CallClientAssign),
		assignCommand("revoke", "Take a partition from a user, as the HSM SO", wire.CallClientRevoke), clientListCommand())
}

// parseUser finds the number of a user.
func parseUser(name string) (uint32, error) {
	if uid, err := strconv.ParseUint(name, 10, 32); err == nil && uid < math.MaxUint32 {
		return uint32(uid), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, wrongUse("no user %q on this host: give a name, or a number", name)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err
}

// assignCommand makes assign or revoke.
func assignCommand(name, short string, call wire.Call) *cobra.Command {
	var p pins
	var everybody bool
	cmd := &cobra.Command{
		Use:     name + " {USER | --everybody}",
		Short:   short,
		Example: fmt.Sprintf("  tidelock client %s alice --partition payments\n  tidelock client %s --everybody --partition test", name, name),
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if everybody == (len(args) == 1) {
				return wrongUse("say who: a user, or --everybody")
			}
			var uid uint32
			who := "everybody"
			if !everybody {
				var err error
				if uid, err = parseUser(args[0]); err != nil {
					return err
				}
				who = args[0]
			}
			return withPartition(cmd, &p, nil, func(s *session, place partitionName) error {
				var request, reply wire.Message = &wire.ClientAssignRequest{Slot: place.slot, Uid: uid, Everybody: everybody}, &wire.ClientAssignReply{}
				if call == wire.CallClientRevoke {
					request, reply = &wire.ClientRevokeRequest{Slot: place.slot, Uid: uid, Everybody: everybody}, &wire.ClientRevokeReply{}
				}
				if err := s.do(call, request, reply); err != nil {
					return fmt.Errorf("%v, %s: %w", place, who, s.explained(err))
				}
				return printFields(cmd, []field{{"Partition", "partition", place.label}, {"User", "user", who}, {"Done", "done", name}})
			})
		},
	}
	cmd.Flags().BoolVar(&everybody, "everybody", false, "every user whom the socket lets in")
	partitionFlag(cmd)
	p.flags(cmd, false)
	return cmd
}

func clientListCommand() *cobra.Command {
	var p pins
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who is assigned to which partition, as the HSM SO",
		Example: "  tidelock client list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := enter(cmd, roleSO, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			var list wire.ClientListReply
			if err := s.do(wire.CallClientList, &wire.ClientListRequest{}, &list); err != nil {
				return fmt.Errorf("listing the assignments: %w", s.explained(err))
			}
			all, err := listPartitions(s.link)
			if err != nil {
				return err
			}
			rows := make([][]field, 0, len(list.Slots)+len(list.Everybody))
			add := func(slot uint64, user string, uid any) {
				label := ""
				for _, p := range all {
					if p.slot == slot {
						label = p.label
					}
				}
				rows = append(rows, []field{{"Slot", "slot", slot}, {"Partition", "partition", label}, {"User", "user", user}, {"Uid", "uid", uid}})
			}
			for _, slot := range list.Everybody {
				add(slot, "everybody", "*")
			}
			if len(list.Uids) != len(list.Slots) {
				return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the server's answer is malformed")
			}
			for i, uid := range list.Uids {
				name := strconv.FormatUint(uid, 10)
				if u, err := user.LookupId(name); err == nil {
					name = u.Username
				}
				add(list.Slots[i], name, uid)
			}
			return printTable(cmd, rows)
		},
	}
	p.flags(cmd, false)
	return cmd
}
