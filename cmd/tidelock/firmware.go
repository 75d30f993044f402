package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/wire"
)

func hsmFirmwareCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "firmware",
		Short: "The HSM's firmware level",
		Long: `The firmware level decides what the HSM can do: its mechanisms, its policies, the versions of
its partitions. An update keeps keys, roles and PINs; a rollback destroys them.`,
		Example: "  tidelock hsm firmware show\n  tidelock hsm firmware update 7.8.0 --dry-run",
	}, firmwareShowCommand(), firmwareUpdateCommand(), firmwareRollbackCommand())
}

// firmwareState is what a server tells of its firmware.
type firmwareState struct {
	wire.FirmwareInfoReply
	firmware.Update
}

func firmwareInfo(c *link) (s firmwareState, err error) {
	if err = c.Do(wire.CallFirmwareInfo, 0, &wire.FirmwareInfoRequest{}, &s.FirmwareInfoReply); err != nil {
		return s, fmt.Errorf("the HSM's firmware: %w", err)
	}
	s.Update.Modules = s.FirmwareInfoReply.Modules
	if s.Current, err = firmware.Parse(s.Level); err == nil && s.FirmwareInfoReply.Previous != "" {
		s.Update.Previous, err = firmware.Parse(s.FirmwareInfoReply.Previous)
	}
	return s, err
}

// levels print with commas between them.
type levels []string

func (l levels) String() string { return strings.Join(l, ", ") }

// updates are the levels to which the HSM may be updated.
func (s firmwareState) updates() levels {
	list := levels{}
	for _, l := range firmware.Levels() {
		if firmware.CanUpdate(s.Current, l) == nil {
			list = append(list, l.String())
		}
	}
	return list
}

func firmwareShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show the firmware level, and where it can go from there",
		Example: "  tidelock hsm firmware show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := firmwareInfo(c)
			if err != nil {
				return err
			}
			back := s.FirmwareInfoReply.Previous
			if _, err := s.RollbackTarget(); err != nil {
				back = "none: " + plainly(err)
			}
			fields := []field{
				{"Firmware level", "firmware", s.Level},
				{"Memory", "memoryBytes", s.MemoryBytes},
				{"Updates to", "updates", s.updates()},
				{"Rollback to", "rollback", back},
			}
			if s.Updating != "" {
				fields = append(fields, field{"Being updated to", "updating", s.Updating},
					field{"Objects rewritten", "done", s.Done}, field{"Objects", "total", s.Total})
			}
			return printFields(cmd, fields)
		},
	}
}

func firmwareUpdateCommand() *cobra.Command {
	var p pins
	var sure confirmation
	cmd := &cobra.Command{
		Use:   "update LEVEL",
		Short: "Update the firmware, as the HSM SO",
		Long: `update takes the HSM to a newer firmware level, or leaves it as it is; a server that ends
meanwhile starts with one or the other. While it lasts the HSM does nothing else, and
afterwards every program has to open its sessions anew.

From below 7.7.0 to 7.7.0 or newer every object is rewritten, every partition becomes
version 0, and memory and partitions grow. There is no way back but a rollback, which
destroys everything: back up first.`,
		Example: "  tidelock hsm firmware update 7.8.0 --dry-run\n  tidelock hsm firmware update 7.8.0 --yes --pin-file so.pin",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var levels []string
			for _, l := range firmware.Levels() {
				levels = append(levels, l.String())
			}
			return levels, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := parseLevel(args[0])
			if err != nil {
				return err
			}
			c, err := administer(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			plan, err := planUpdate(c, to)
			if err != nil {
				return err
			}
			if sure.dryRun {
				return plan.print(cmd)
			}
			if ok, err := sure.change(cmd, plan); err != nil || !ok {
				return err
			}
			objects, err := updateFirmware(cmd, c, to, &p)
			if err != nil {
				return fmt.Errorf("updating the firmware: %w", err)
			}
			fields := []field{{"Firmware level", "firmware", to}, {"Objects rewritten", "objects", objects}}
			if plan.Converts {
				fields = append(fields, field{"Next", "next", "tidelock partition set-policy 41=1 makes a partition version 1"})
			}
			return printFields(cmd, fields)
		},
	}
	p.flags(cmd, false)
	cmd.Flags().BoolVar(&sure.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&sure.dryRun, "dry-run", false, "say what would change, and do nothing")
	return cmd
}

// updateFirmware logs the HSM SO in and updates, with its progress on a terminal.
func updateFirmware(cmd *cobra.Command, c *link, to firmware.Level, p *pins) (objects uint64, err error) {
	s, err := openSession(cmd, c, administration)
	if err != nil {
		return 0, err
	}
	if err := s.login(cmd, roleSO, p); err != nil {
		return 0, err
	}
	done := showProgress(cmd)
	defer done()
	defer warnOnInterrupt(cmd)()
	var reply wire.FirmwareUpdateReply
	if err := s.do(wire.CallFirmwareUpdate, &wire.FirmwareUpdateRequest{Level: to.String()}, &reply); err != nil {
		return 0, s.explained(err)
	}
	forgetSessions(cmd)
	return reply.Objects, nil
}

// warnOnInterrupt says, until over, to whoever interrupts that the server goes on.
func warnOnInterrupt(cmd *cobra.Command) (over func()) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, unix.SIGTERM)
	go func() {
		if _, came := <-interrupted; came {
			fmt.Fprintln(cmd.ErrOrStderr(), "\ntidelock: interrupted, but the HSM goes on with the update: `tidelock hsm firmware show` tells how far it is")
			os.Exit(exitRefused)
		}
	}()
	return func() {
		signal.Stop(interrupted)
		close(interrupted)
	}
}

// forgetSessions makes a shell open its sessions anew, after what has ended all of them.
func forgetSessions(cmd *cobra.Command) {
	if kept := shellOf(cmd); kept != nil {
		clear(kept.sessions)
		kept.last = nil
	}
}

func firmwareRollbackCommand() *cobra.Command {
	var p pins
	var sure confirmation
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the firmware before the last update, and lose everything",
		Long: `rollback takes the HSM back to the firmware level before the last update, and destroys every
partition, the HSM SO and what was set in the policies. There is no rollback after a rollback
before the next update.`,
		Example: "  tidelock hsm firmware rollback --dry-run\n  tidelock hsm firmware rollback --yes --pin-file so.pin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := administer(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			state, err := firmwareInfo(c)
			if err != nil {
				return err
			}
			target, err := state.RollbackTarget()
			if err != nil {
				return err
			}
			info, err := hsmInfo(c)
			if err != nil {
				return err
			}
			lost, err := everything(c)
			if err != nil {
				return err
			}
			if ok, err := sure.ask(cmd, info.Label, append(lost, "the HSM SO", "what was set in the HSM's policies",
				fmt.Sprintf("firmware %v: it is %v again", state.Level, target))); err != nil || !ok {
				return err
			}
			s, err := openSession(cmd, c, administration)
			if err != nil {
				return err
			}
			if err := s.login(cmd, roleSO, &p); err != nil {
				return err
			}
			var reply wire.FirmwareRollbackReply
			if err := s.do(wire.CallFirmwareRollback, &wire.FirmwareRollbackRequest{}, &reply); err != nil {
				return fmt.Errorf("rolling the firmware back: %w", s.explained(err))
			}
			forgetSessions(cmd)
			return printFields(cmd, []field{{"Firmware level", "firmware", reply.Level}, {"Next", "next", "tidelock hsm init --label LABEL"}})
		},
	}
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

func hsmCapacityCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "capacity",
		Short: "Show how many keys a partition holds",
		Long: `capacity tells how many keys of one kind a partition of the default size holds, whose labels
and ids have up to 32 bytes. An update of the firmware leaves the numbers as they are.`,
		Example: "  tidelock hsm capacity",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reply wire.CapacityReply
			if err := ask(cmd, wire.CallCapacity, &wire.CapacityRequest{}, &reply); err != nil {
				return err
			}
			rows := make([][]field, min(len(reply.Keys), len(reply.Counts)))
			for i := range rows {
				rows[i] = []field{{"Keys", "keys", reply.Keys[i]}, {"A partition holds", "capacity", reply.Counts[i]}}
			}
			return printTable(cmd, rows)
		},
	}
}
