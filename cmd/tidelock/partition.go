package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
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
		partitionPolicyOwner.show(), partitionPolicyOwner.change())
}

func partitionListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the partitions",
		Example: "  tidelock partition list\n  tidelock partition list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withServer(cmd, func(c *link) error {
				all, err := listPartitions(c)
				if err != nil {
					return err
				}
				var rows [][]field
				for _, p := range all {
					row, err := partitionRow(c, p)
					if err != nil {
						return err
					}
					rows = append(rows, row)
				}
				return printTable(cmd, rows)
			})
		},
	}
}

// partitionRow is a partition in a list. Of one that a client of this level cannot use, what
// it is made of is not told.
func partitionRow(c *link, p partitionName) ([]field, error) {
	row := []field{{"Slot", "slot", p.slot}, {"Label", "label", p.label}, {"Serial number", "serial", p.serial}}
	info, err := partitionInfo(c, p)
	switch cryptoki.Code(err) {
	case cryptoki.CKR_OK:
		return append(row, field{"Version", "version", info.Version}, field{"State", "state", info.State},
			field{"Objects", "objects", info.Objects}, field{"Used", "usedBytes", info.UsedBytes}, field{"Size", "totalBytes", info.TotalBytes}), nil
	case cryptoki.CKR_ACCESS_ID_INVALID:
		return append(row, field{"Version", "version", nil}, field{"State", "state", "not for this client"},
			field{"Objects", "objects", nil}, field{"Used", "usedBytes", nil}, field{"Size", "totalBytes", nil}), nil
	}
	return nil, err
}

// partitionInfo asks what a partition is.
func partitionInfo(c *link, p partitionName) (wire.PartitionInfoReply, error) {
	var info wire.PartitionInfoReply
	if err := c.Do(wire.CallPartitionInfo, 0, &wire.PartitionInfoRequest{Slot: p.slot}, &info); err != nil {
		return info, fmt.Errorf("%v: %w", p, err)
	}
	if len(info.RoleFlags) != len(info.Users) {
		return info, fmt.Errorf("%v: the server's answer is malformed", p)
	}
	return info, nil
}

// roleIn gives the flags of a role's state, where the partition has the role.
func roleIn(info wire.PartitionInfoReply, r role) (flags uint8, has bool) {
	i := slices.Index(info.Users, uint64(r.user))
	if i < 0 {
		return 0, false
	}
	return uint8(info.RoleFlags[i]), true
}

func partitionShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show what a partition is, its roles and its room",
		Example: "  tidelock partition show --partition payments",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPlace(cmd, func(c *link, p partitionName) error {
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
				for _, r := range partitionRoles {
					if flags, has := roleIn(info, r); has {
						fields = append(fields, field{r.title, r.name, stateName(flags)})
					}
				}
				return printFields(cmd, fields)
			})
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

// maxSize is more than any HSM has, and far from the sizes that mean something else.
const maxSize = 1 << 50

// parseSize reads a size: default, all, or bytes.
func parseSize(text string) (uint64, error) {
	switch text {
	case "default":
		return sizeDefault, nil
	case "all":
		return sizeAll, nil
	}
	n, ok := parseBytes(text)
	if !ok || n > maxSize {
		return 0, wrongUse("--size %s: a size is default, all, or bytes such as 3306327, 512K or 4M", text)
	}
	return n, nil
}

// checkLabel refuses a label that no HSM or partition can have. what names it.
func checkLabel(what, label string) error {
	if n := len(label); n < 1 || n > maxLabel {
		return wrongUse("%s %q: it has 1 to %d bytes", what, label, maxLabel)
	}
	return nil
}

// maxLabel is the most bytes of a label (CK_TOKEN_INFO).
const maxLabel = 32

// checkVersion refuses a version that no partition has.
func checkVersion(version uint8) error {
	if version > 1 {
		return wrongUse("--partition-version %d: a partition is of version 0 or 1", version)
	}
	return nil
}

// versionUnnamed asks for a partition of the version that the HSM makes by itself.
const versionUnnamed = math.MaxUint8

func partitionCreateCommand() *cobra.Command {
	var p pins
	var size string
	var version uint8
	cmd := &cobra.Command{
		Use:   "create LABEL",
		Short: "Create a partition, as the HSM SO",
		Long: `create sets room aside for a partition and gives it a slot and a serial number. It is
assigned to nobody and not initialised: client assign and partition init are next.

From firmware 7.7.0 on a partition is of version 0, which is as partitions were before, or
of version 1, which has a Limited Crypto Officer and keys with authorization data of
their own; without --partition-version it is of version 0.`,
		Example: "  tidelock partition create payments\n  tidelock partition create archive --size all --pin-file so.pin\n  tidelock partition create cards --partition-version 1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkLabel("a partition's label", args[0]); err != nil {
				return err
			}
			bytes, err := parseSize(size)
			if err != nil {
				return err
			}
			request := wire.PartitionCreateRequest{Label: args[0], Size: bytes, Version: versionUnnamed}
			if cmd.Flags().Changed("partition-version") {
				if err := checkVersion(version); err != nil {
					return err
				}
				request.Version = version
				c, err := administer(cmd)
				if err != nil {
					return err
				}
				defer c.Close()
				if err := needs(c, firmware.PartitionVersions, "--partition-version"); err != nil {
					return err
				}
			}
			s, err := enter(cmd, roleSO, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			var reply wire.PartitionCreateReply
			if err := s.do(wire.CallPartitionCreate, &request, &reply); err != nil {
				return fmt.Errorf("creating the partition: %w", s.explained(err))
			}
			return printFields(cmd, []field{
				{"Partition", "label", args[0]},
				{"Serial number", "serial", reply.Serial},
				{"Slot", "slot", reply.Slot},
				{"Next", "next", fmt.Sprintf("tidelock partition init --partition %s --label %s", args[0], args[0])},
			})
		},
	}
	cmd.Flags().StringVar(&size, "size", "default", "default (a share of the memory), all (what is free), or bytes (512K, 4M)")
	cmd.Flags().Uint8Var(&version, "partition-version", 0, "version of the partition, 0 or 1; from firmware 7.7.0 on")
	since(cmd, "partition-version", firmware.PartitionVersions)
	p.flags(cmd, false)
	return cmd
}

func partitionInitCommand() *cobra.Command {
	var p pins
	var label, domainFile string
	var template templateFlags
	var sure confirmation
	cmd := &cobra.Command{
		Use:   "init --label LABEL",
		Short: "Initialise a partition: make its Partition SO, or erase what it holds",
		Long: `init of a new partition gives it a label, a domain and a Partition SO, whose PIN is asked
for. init of a partition that is initialised asks for the PIN of its Partition SO, who
stays, with his domain; all objects and the other roles are destroyed. No program may
have a session with the partition.

A domain joins partitions whose objects may be exchanged; without --domain-file it is a
random one.

A new partition begins with the policies that it was created with, with those of a
template, or with those of a profile; policies that a template does not name have their
defaults. --profile strict turns off keys of several purposes, changing the purposes, raw
RSA and CBC-PAD wrapping of small keys (policies 10, 11, 18 and 34).`,
		Example: "  tidelock partition init --partition payments --label payments\n  tidelock partition init --label payments --dry-run\n  tidelock partition init --label cards --apply-template cards.policies\n  tidelock partition init --label cards --profile strict",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLabel("--label", label); err != nil {
				return err
			}
			policies, err := template.read()
			if err != nil {
				return err
			}
			request := wire.PartitionInitRequest{Label: label, Policies: policies}
			return withPlace(cmd, func(c *link, place partitionName) error {
				return initPartition(cmd, c, place, request, domainFile, &p, &sure)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&label, "label", "", "label that the partition gets")
	f.StringVar(&domainFile, "domain-file", "", "file with the domain in its first line, 1 to 128 characters")
	template.add(cmd)
	partitionFlag(cmd)
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

func initPartition(cmd *cobra.Command, c *link, place partitionName, request wire.PartitionInitRequest, domainFile string, p *pins, sure *confirmation) error {
	if len(request.Policies) > 0 {
		if err := needs(c, firmware.PolicyTemplates, "a policy template"); err != nil {
			return err
		}
		// A template that is refused is no reason to ask for a PIN.
		trial := request
		trial.Slot, trial.DryRun = place.slot, true
		var reply wire.PartitionInitReply
		if err := c.Do(wire.CallPartitionInit, 0, &trial, &reply); err != nil {
			return fmt.Errorf("initialising %v: %w", place, refusedPolicies(err, reply.Fault))
		}
	}
	var owner wire.RoleStateReply
	if err := c.Do(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: place.slot, User: uint64(rolePO.user)}, &owner); err != nil {
		return fmt.Errorf("the state of the %v: %w", rolePO, err)
	}
	ask := p.first
	if owner.Flags&stateInitialized != 0 {
		ask = p.present
		lost, err := contentsOf(c, place, roleCO, roleLCO, roleCU)
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
	request.Slot, request.PIN, request.Domain = place.slot, wire.Secret(pin.Expose()), wire.Secret(domain.Expose())
	var reply wire.PartitionInitReply
	if err := c.Do(wire.CallPartitionInit, 0, &request, &reply); err != nil {
		if cryptoki.Code(err) == cryptoki.CKR_PIN_INCORRECT {
			return (&session{link: c, partition: place}).refusedPIN(rolePO, err)
		}
		return fmt.Errorf("initialising %v: %w", place, refusedPolicies(err, reply.Fault))
	}
	return printFields(cmd, []field{
		{"Partition", "label", request.Label},
		{"Serial number", "serial", place.serial},
		{"Slot", "slot", place.slot},
		{"Next", "next", "tidelock role init co --partition " + request.Label},
	})
}

// contentsOf says what is lost with a partition and these of its roles.
func contentsOf(c *link, p partitionName, among ...role) ([]string, error) {
	info, err := partitionInfo(c, p)
	if err != nil {
		return nil, err
	}
	lost := []string{objectsOf(p, info.Objects, info.UsedBytes)}
	for _, r := range among {
		if flags, _ := roleIn(info, r); flags&stateInitialized != 0 {
			lost = append(lost, fmt.Sprintf("%v: the role %v", p, r))
		}
	}
	return lost, nil
}

// objectsOf says how much a partition holds.
func objectsOf(p partitionName, objects, bytes uint64) string {
	text := fmt.Sprintf("%v: %s", p, counted(objects, "object"))
	if objects > 0 {
		text += fmt.Sprintf(" of %d bytes", bytes)
	}
	return text
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
	asFlag(cmd, roleCO, roleLCO, roleCU)
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
				lost, err := contentsOf(c, place, partitionRoles...)
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
