package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/wire"
)

func partitionCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "partition",
		Short: "The HSM's partitions",
		Long: `A partition is a token of its own: label, roles, room and objects. The HSM SO creates,
resizes and deletes partitions; whoever initialises one becomes its Partition SO.`,
		Example: "  tidelock partition create payments\n  tidelock partition init --label payments\n  tidelock partition show --partition payments",
	}, partitionListCommand(), partitionShowCommand(), partitionCreateCommand(), partitionInitCommand(),
		partitionResizeCommand(), partitionContentsCommand(), partitionDeleteCommand(),
		partitionPoliciesCommand(), partitionSetPolicyCommand())
}

func partitionListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the partitions",
		Example: "  tidelock partition list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := listPartitions(c)
			if err != nil {
				return err
			}
			rows := make([][]field, len(all))
			for i, p := range all {
				rows[i] = []field{
					{"Slot", "slot", p.slot},
					{"Label", "label", p.label},
					{"Serial number", "serial", p.serial},
				}
			}
			return printTable(cmd, rows)
		},
	}
}

// partitionInfo asks what a partition is.
func partitionInfo(c *link, p partitionName) (wire.PartitionInfoReply, error) {
	var info wire.PartitionInfoReply
	if err := c.Do(wire.CallPartitionInfo, 0, &wire.PartitionInfoRequest{Slot: p.slot}, &info); err != nil {
		return info, fmt.Errorf("%v: %w", p, err)
	}
	return info, nil
}

func partitionShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show what a partition is, its roles and its room",
		Example: "  tidelock partition show --partition payments",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			p, err := choosePartition(cmd, c)
			if err != nil {
				return err
			}
			info, err := partitionInfo(c, p)
			if err != nil {
				return err
			}
			fields := []field{
				{"Label", "label", info.Label},
				{"Serial number", "serial", info.Serial},
				{"Slot", "slot", p.slot},
				{"State", "state", info.State},
				{"Version", "version", info.Version},
				{"Size", "totalBytes", info.TotalBytes},
				{"Used", "usedBytes", info.UsedBytes},
				{"Free", "freeBytes", info.FreeBytes},
				{"Overhead", "overheadBytes", info.OverheadBytes},
				{"Objects", "objects", info.Objects},
				{"Sessions", "sessions", info.Sessions},
			}
			for _, r := range []role{rolePO, roleCO, roleCU} {
				state, err := roleState(c, p.slot, r)
				if err != nil {
					return err
				}
				fields = append(fields, field{r.title, r.name, object(state)["state"]})
			}
			return printFields(cmd, fields)
		},
	}
	partitionFlag(cmd)
	return cmd
}

// The size that means a share of the HSM's memory, and the one that means all of it.
const (
	sizeDefault = 0
	sizeAll     = math.MaxUint64
)

// parseSize reads a size: default, all, or bytes with an optional K or M.
func parseSize(text string) (uint64, error) {
	switch text {
	case "default":
		return sizeDefault, nil
	case "all":
		return sizeAll, nil
	}
	digits, unit := text, uint64(1)
	switch {
	case strings.HasSuffix(text, "K"):
		digits, unit = strings.TrimSuffix(text, "K"), 1<<10
	case strings.HasSuffix(text, "M"):
		digits, unit = strings.TrimSuffix(text, "M"), 1<<20
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 {
		return 0, wrongUse("--size %s: a size is default, all, or bytes such as 3306327, 512K or 4M", text)
	}
	return n * unit, nil
}

func partitionCreateCommand() *cobra.Command {
	var p pins
	var size string
	cmd := &cobra.Command{
		Use:   "create LABEL",
		Short: "Create a partition, as the HSM SO",
		Long: `create sets room aside for a partition and gives it a slot and a serial number. It is
assigned to nobody and not initialised: client assign and partition init are next.`,
		Example: "  tidelock partition create payments\n  tidelock partition create archive --size all --pin-file so.pin",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			bytes, err := parseSize(size)
			if err != nil {
				return err
			}
			s, err := enter(cmd, roleSO, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			var reply wire.PartitionCreateReply
			if err := s.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: args[0], Size: bytes}, &reply); err != nil {
				return fmt.Errorf("creating the partition: %w", s.explained(err))
			}
			return printFields(cmd, []field{
				{"Partition", "label", args[0]},
				{"Serial number", "serial", reply.Serial},
				{"Slot", "slot", reply.Slot},
			})
		},
	}
	cmd.Flags().StringVar(&size, "size", "default", "default (a share of the memory), all (what is free), or bytes (512K, 4M)")
	p.flags(cmd, false)
	return cmd
}

func partitionInitCommand() *cobra.Command {
	var p pins
	var label, domainFile string
	var sure confirmation
	cmd := &cobra.Command{
		Use:   "init --label LABEL",
		Short: "Initialise a partition: make its Partition SO, or erase what it holds",
		Long: `init of a new partition gives it a label, a domain and a Partition SO, whose PIN is asked
for. init of a partition that is initialised asks for the PIN of its Partition SO, who
stays, with his domain; all objects and the other roles are destroyed. No program may
have a session with the partition.

A domain joins partitions whose objects may be exchanged; without --domain-file it is a
random one.`,
		Example: "  tidelock partition init --partition payments --label payments\n  tidelock partition init --label payments --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if label == "" {
				return wrongUse("partition init needs --label LABEL, 1 to 32 characters")
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			place, err := choosePartition(cmd, c)
			if err != nil {
				return err
			}
			return initPartition(cmd, c, place, label, domainFile, &p, &sure)
		},
	}
	f := cmd.Flags()
	f.StringVar(&label, "label", "", "label that the partition gets")
	f.StringVar(&domainFile, "domain-file", "", "file with the domain in its first line, 1 to 128 characters")
	partitionFlag(cmd)
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

func initPartition(cmd *cobra.Command, c *link, place partitionName, label, domainFile string, p *pins, sure *confirmation) error {
	var owner wire.RoleStateReply
	if err := c.Do(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: place.slot, User: uint64(rolePO.user)}, &owner); err != nil {
		return fmt.Errorf("the state of the %v: %w", rolePO, err)
	}
	ask := p.first
	if owner.Flags&stateInitialized != 0 {
		ask = p.present
		lost, err := contentsOf(c, place, roleCO, roleCU)
		if err != nil {
			return err
		}
		if ok, err := sure.ask(cmd, place.label, lost); err != nil || !ok {
			return err
		}
	} else if sure.dryRun {
		return printLoss(cmd, nil)
	}
	var domain secret.Bytes
	if domainFile != "" {
		var err error
		if domain, err = p.get(cmd, domainFile, "--domain-file", "", false); err != nil {
			return err
		}
		defer domain.Wipe()
	}
	pin, err := ask(cmd, rolePO.title)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	if err := leave(cmd, place.slot); err != nil {
		return err
	}
	request := wire.PartitionInitRequest{
		Slot: place.slot, Label: label, PIN: wire.Secret(pin.Expose()), Domain: wire.Secret(domain.Expose()),
	}
	if err := c.Do(wire.CallPartitionInit, 0, &request, &wire.PartitionInitReply{}); err != nil {
		if cryptoki.Code(err) == cryptoki.CKR_PIN_INCORRECT {
			return (&session{link: c, partition: place}).refusedPIN(rolePO, err)
		}
		return fmt.Errorf("initialising %v: %w", place, err)
	}
	return printFields(cmd, []field{
		{"Partition", "label", label},
		{"Serial number", "serial", place.serial},
		{"Slot", "slot", place.slot},
		{"Next", "next", "tidelock role init co --partition " + label},
	})
}

// contentsOf says what is lost with a partition and these of its roles.
func contentsOf(c *link, p partitionName, among ...role) ([]string, error) {
	info, err := partitionInfo(c, p)
	if err != nil {
		return nil, err
	}
	lost := []string{fmt.Sprintf("%v: %d objects of %d bytes", p, info.Objects, info.UsedBytes)}
	for _, r := range among {
		state, err := roleState(c, p.slot, r)
		if err != nil {
			return nil, err
		}
		if s := object(state)["state"]; s != stateName(0) {
			lost = append(lost, fmt.Sprintf("%v: the role %v", p, r))
		}
	}
	return lost, nil
}

func partitionResizeCommand() *cobra.Command {
	var p pins
	var size string
	cmd := &cobra.Command{
		Use:     "resize --size SIZE",
		Short:   "Change the size of a partition, as the HSM SO",
		Long:    "resize keeps what the partition holds. A size below what is in use is refused.",
		Example: "  tidelock partition resize --partition payments --size 4M",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if size == "" {
				return wrongUse("partition resize needs --size SIZE")
			}
			bytes, err := parseSize(size)
			if err != nil {
				return err
			}
			return withPartition(cmd, &p, nil, func(s *session, place partitionName) error {
				if err := s.do(wire.CallPartitionResize, &wire.PartitionResizeRequest{Slot: place.slot, Size: bytes}, &wire.PartitionResizeReply{}); err != nil {
					return fmt.Errorf("resizing %v: %w", place, s.explained(err))
				}
				info, err := partitionInfo(s.link, place)
				if err != nil {
					return err
				}
				return printFields(cmd, []field{
					{"Partition", "label", place.label},
					{"Size", "totalBytes", info.TotalBytes},
					{"Free", "freeBytes", info.FreeBytes},
				})
			})
		},
	}
	cmd.Flags().StringVar(&size, "size", "", "default (a share of the memory), all (what is free), or bytes (512K, 4M)")
	partitionFlag(cmd)
	p.flags(cmd, false)
	return cmd
}

// withPartition lets the HSM SO do something with the partition that the command line
// means. before may stop it ahead of the login; nil does not.
func withPartition(cmd *cobra.Command, p *pins, before func(c *link, place partitionName) (bool, error), do func(s *session, place partitionName) error) error {
	c, err := administer(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	place, err := choosePartition(cmd, c)
	if err != nil {
		return err
	}
	if before != nil {
		if ok, err := before(c, place); err != nil || !ok {
			return err
		}
	}
	s, err := openSession(cmd, c, administration)
	if err != nil {
		return err
	}
	if err := s.login(cmd, roleSO, p); err != nil {
		return err
	}
	return do(s, place)
}

func partitionContentsCommand() *cobra.Command {
	var p pins
	cmd := &cobra.Command{
		Use:     "contents",
		Short:   "List what a partition holds",
		Long:    `contents is what key list shows: every object that the role may see.`,
		Example: "  tidelock partition contents --partition payments",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return listContents(cmd, &p) },
	}
	asFlag(cmd, roleCO, roleCU)
	partitionFlag(cmd)
	p.flags(cmd, false)
	return cmd
}

func partitionDeleteCommand() *cobra.Command {
	var p pins
	var sure confirmation
	cmd := &cobra.Command{
		Use:     "delete",
		Short:   "Delete a partition with all that it holds, as the HSM SO",
		Example: "  tidelock partition delete --partition payments --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			before := func(c *link, place partitionName) (bool, error) {
				lost, err := contentsOf(c, place, rolePO, roleCO, roleCU)
				if err != nil {
					return false, err
				}
				return sure.ask(cmd, place.label, lost)
			}
			return withPartition(cmd, &p, before, func(s *session, place partitionName) error {
				if err := s.do(wire.CallPartitionDelete, &wire.PartitionDeleteRequest{Slot: place.slot}, &wire.PartitionDeleteReply{}); err != nil {
					return fmt.Errorf("deleting %v: %w", place, s.explained(err))
				}
				return printFields(cmd, []field{{"Deleted", "deleted", place.label}, {"Serial number", "serial", place.serial}})
			})
		},
	}
	partitionFlag(cmd)
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}
