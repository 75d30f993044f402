package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/home"
	"tidelock.dev/tidelock/wire"
)

func hsmCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "hsm",
		Short:   "The HSM as a whole",
		Example: "  tidelock hsm show\n  tidelock hsm init --label site-a",
	}, hsmShowCommand(), hsmInitCommand(), hsmZeroizeCommand(), hsmResetCommand(), hsmSelfTestCommand(),
		hsmPolicyOwner.show(), hsmPolicyOwner.change(), hsmFirmwareCommand(), hsmCapacityCommand())
}

func hsmShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show what the HSM is and what it does",
		Long:    "show tells what the HSM is, how it is protected and what is used of it. Room is in bytes.",
		Example: "  tidelock hsm show\n  tidelock hsm show -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var info wire.HSMInfoReply
			if err := ask(cmd, wire.CallHSMInfo, &wire.HSMInfoRequest{}, &info); err != nil {
				return err
			}
			return printFields(cmd, []field{
				{"Label", "label", info.Label},
				{"Serial number", "serial", info.Serial},
				{"Model", "model", info.Model},
				{"Firmware level", "firmware", info.Firmware},
				{"Mode", "mode", info.Mode},
				{"Root key", "rootKey", info.RootKey},
				{"State", "state", info.State},
				{"HSM SO", "officer", info.Officer},
				{"Tries left of the HSM SO", "officerLeft", info.OfficerLeft},
				{"Auditor", "auditor", info.Auditor},
				{"FIPS module", "fips", info.Approved},
				{"Private RSA keys in", "rsa", info.Rsa},
				{"Entries of the audit log", "auditEntries", info.AuditEntries},
				{"Entries that it has room for", "auditLimit", info.AuditLimit},
				{"Rollback of the store", "rollback", info.Rollback},
				{"Server's memory", "memory", info.Memory},
				{"Room", "totalBytes", info.TotalBytes},
				{"Used", "usedBytes", info.UsedBytes},
				{"Free", "freeBytes", info.FreeBytes},
				{"Partitions", "partitions", info.Partitions},
				{"Partitions allowed", "partitionsAllowed", info.Allowed},
				{"Applications", "applications", info.Applications},
				{"Sessions", "sessions", info.Sessions},
				{"Up for", "uptime", (time.Duration(info.UptimeSeconds) * time.Second).String()},
			})
		},
	}
}

// everything says what is lost with the HSM's partitions.
func everything(c *link) ([]string, error) {
	all, err := listPartitions(c)
	if err != nil {
		return nil, err
	}
	var lost []string
	for _, p := range all {
		of, err := contentsOf(c, p, partitionRoles...)
		if err != nil {
			return nil, err
		}
		lost = append(lost, of...)
	}
	return lost, nil
}

// hsmInfo asks what the HSM is.
func hsmInfo(c *link) (wire.HSMInfoReply, error) {
	var info wire.HSMInfoReply
	err := c.Do(wire.CallHSMInfo, 0, &wire.HSMInfoRequest{}, &info)
	return info, err
}

// operational is the state of an HSM that has an HSM SO.
const operational = "operational"

func hsmInitCommand() *cobra.Command {
	var p pins
	var label string
	var kdf string
	var sure confirmation
	var shape shapeFlags
	cmd := &cobra.Command{
		Use:   "init --label LABEL",
		Short: "Make the HSM SO, or start again with him",
		Long: `init of an HSM that is in its factory state or zeroized gives it a label and an HSM SO,
whose PIN is asked for. init of an HSM that is operational asks for the PIN of its HSM
SO, who stays, with the policies; every partition is destroyed.

With --home and a directory that is not there, or empty, it makes the HSM in it, without
a server: the root key lies in a file in it, root.key, which belongs to the user that runs
the server. Such an HSM may be of any firmware level, memory and number of partitions.`,
		Example: "  tidelock hsm init --home /var/lib/tidelock --label site-a\n  tidelock hsm init --home /tmp/old --label old --firmware 7.4.2 --memory 16MB --partitions 10\n  tidelock hsm init --label site-a --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLabel("--label", label); err != nil {
				return err
			}
			if kdf != "default" && kdf != "test" {
				return wrongUse("--kdf %s: the password hash is default or test", kdf)
			}
			if dir, fresh := freshHome(cmd); fresh {
				return newHSM(cmd, dir, label, kdf == "test", &shape, &p, &sure)
			}
			if shape.given(cmd) {
				return wrongUse("--firmware, --memory and --partitions are for a new HSM: this one is there already")
			}
			c, err := administer(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			info, err := hsmInfo(c)
			if err != nil {
				return err
			}
			askPIN := p.first
			if info.State == operational {
				askPIN = p.present
				lost, err := everything(c)
				if err != nil {
					return err
				}
				if ok, err := sure.ask(cmd, info.Label, lost); err != nil || !ok {
					return err
				}
			} else if sure.dryRun {
				return printLoss(cmd, nil)
			}
			pin, err := askPIN(cmd, roleSO.title)
			if err != nil {
				return err
			}
			defer pin.Wipe()
			request := wire.HSMInitRequest{Label: label, PIN: wire.Secret(pin.Expose())}
			if err := c.Do(wire.CallHSMInit, 0, &request, &wire.HSMInitReply{}); err != nil {
				if cryptoki.Code(err) == cryptoki.CKR_PIN_INCORRECT {
					return (&session{link: c, partition: administration}).refusedPIN(roleSO, err)
				}
				return fmt.Errorf("initialising the HSM: %w", err)
			}
			return showInit(cmd, c)
		},
	}
	cmd.Flags().StringVar(&label, "label", "", "label that the HSM gets")
	cmd.Flags().StringVar(&kdf, "kdf", "default", "password hash of a new HSM: default, or test, which costs nothing and marks the HSM as a test HSM")
	shape.add(cmd.Flags())
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

// freshHome tells whether the command line names a directory for a new HSM: one that is
// not there, or empty.
func freshHome(cmd *cobra.Command) (dir string, fresh bool) {
	if dir, _ = cmd.Flags().GetString("home"); dir == "" {
		dir = os.Getenv(home.Env)
	}
	if dir == "" || shellOf(cmd) != nil {
		return "", false
	}
	entries, err := os.ReadDir(dir)
	return dir, errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0
}

// newHSM makes an HSM in a new directory.
func newHSM(cmd *cobra.Command, dir, label string, test bool, flags *shapeFlags, p *pins, sure *confirmation) error {
	shape, err := flags.parse(cmd)
	if err != nil {
		return err
	}
	if sure.dryRun {
		return printLoss(cmd, nil)
	}
	pin, err := p.first(cmd, roleSO.title)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	h, err := home.New{Label: label, SOPIN: pin, Test: test, Shape: shape}.Make(dir)
	if err != nil {
		return fmt.Errorf("making the HSM: %w", err)
	}
	return printFields(cmd, []field{
		{"HSM", "label", label},
		{"Directory", "home", h.Dir},
		{"Next", "next", "tidelock serve --home " + h.Dir},
	})
}

func showInit(cmd *cobra.Command, c *link) error {
	info, err := hsmInfo(c)
	if err != nil {
		return err
	}
	return printFields(cmd, []field{
		{"HSM", "label", info.Label},
		{"Serial number", "serial", info.Serial},
		{"State", "state", info.State},
		{"Next", "next", "tidelock partition create LABEL"},
	})
}

func hsmZeroizeCommand() *cobra.Command {
	return destroyCommand(&cobra.Command{
		Use:   "zeroize",
		Short: "Destroy every partition and the HSM SO",
		Long: `zeroize destroys all keys, partitions and the HSM SO. The Auditor, the audit log and the
HSM's policies stay. Nobody has to log in: whoever reaches the administrators' socket may
do it.`,
		Example: "  tidelock hsm zeroize --dry-run\n  tidelock hsm zeroize --yes",
	}, func(c *link) error {
		return c.Do(wire.CallHSMZeroize, 0, &wire.HSMZeroizeRequest{}, &wire.HSMZeroizeReply{})
	},
		"the HSM SO")
}

func hsmResetCommand() *cobra.Command {
	return destroyCommand(&cobra.Command{
		Use:   "factory-reset",
		Short: "Destroy everything that was made since the HSM left the factory",
		Long: `factory-reset destroys all keys, partitions, the HSM SO and the Auditor, and sets the
policies back. Nobody has to log in: whoever reaches the administrators' socket may do
it.`,
		Example: "  tidelock hsm factory-reset --dry-run\n  tidelock hsm factory-reset --yes",
	}, func(c *link) error {
		return c.Do(wire.CallHSMFactoryReset, 0, &wire.HSMFactoryResetRequest{}, &wire.HSMFactoryResetReply{})
	},
		"the HSM SO", "the Auditor", "what was set in the HSM's policies")
}

// destroyCommand makes a command of one that destroys all partitions and also these
// things.
func destroyCommand(cmd *cobra.Command, do func(c *link) error, also ...string) *cobra.Command {
	var sure confirmation
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := administer(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		info, err := hsmInfo(c)
		if err != nil {
			return err
		}
		lost, err := everything(c)
		if err != nil {
			return err
		}
		word := info.Label
		if word == "" {
			word = info.Serial
		}
		if ok, err := sure.ask(cmd, word, append(lost, also...)); err != nil || !ok {
			return err
		}
		if err := do(c); err != nil {
			return err
		}
		if info, err = hsmInfo(c); err != nil {
			return err
		}
		return printFields(cmd, []field{{"Serial number", "serial", info.Serial}, {"State", "state", info.State}, {"Next", "next", "tidelock hsm init --label LABEL"}})
	}
	sure.flags(cmd)
	return cmd
}

func hsmSelfTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "selftest",
		Short:   "Let the HSM test its algorithms and its store",
		Example: "  tidelock hsm selftest",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := administer(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			var reply wire.HSMSelfTestReply
			if err := c.Do(wire.CallHSMSelfTest, 0, &wire.HSMSelfTestRequest{}, &reply); err != nil {
				return err
			}
			if len(reply.Names) != len(reply.Faults) {
				return errors.New("the server's answer is malformed")
			}
			failed := 0
			rows := make([][]field, len(reply.Names))
			for i, fault := range reply.Faults {
				result := "passed"
				if fault != "" {
					result = fault
					failed++
				}
				rows[i] = []field{{"Test", "test", reply.Names[i]}, {"Result", "result", result}}
			}
			if err := printTable(cmd, rows); err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d self-tests failed", failed, len(rows))
			}
			return nil
		},
	}
}
