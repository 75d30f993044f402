package main

import (
	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/home"
)

func quickstartCommand() *cobra.Command {
	var p home.Quickstart
	var partitionVersion uint8
	var shape shapeFlags
	var kdf string
	cmd := &cobra.Command{
		Use:   "quickstart --home DIR --label LABEL --so-pin PIN --pin PIN",
		Short: "Make an HSM with one partition for development, without questions",
		Long: `quickstart makes an initialised HSM in a new directory, with one partition and its
Crypto Officer ready. It is for development and tests: the root key lies in a file
beside the store, the PINs stand on the command line, the SO PIN serves both the
HSM SO and the Partition SO, and nobody has to change the initial PIN (HSM policy 21
off). With TIDELOCK_HOME set to the directory, libtidelock.so starts the server by
itself.`,
		Example: "  tidelock quickstart --home ~/hsm --label demo --so-pin 12345678 --pin 87654321",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, _ := cmd.Flags().GetString("home")
			switch {
			case dir == "":
				return wrongUse("quickstart needs --home DIR, a new directory for the HSM")
			case p.Label == "" || p.SOPIN == "" || p.PIN == "":
				return wrongUse("quickstart needs --label, --so-pin and --pin")
			case kdf != "default" && kdf != "test":
				return wrongUse("--kdf %s: the password hash is default or test", kdf)
			}
			if err := checkLabel("--label", p.Label); err != nil {
				return err
			}
			var err error
			if p.Shape, err = shape.parse(cmd); err != nil {
				return err
			}
			if cmd.Flags().Changed("partition-version") {
				if err := checkVersion(partitionVersion); err != nil {
					return err
				}
				p.Version = &partitionVersion
			}
			p.Test = kdf == "test"
			h, err := p.Make(dir)
			if err != nil {
				return err
			}
			mode := "development"
			if p.Test {
				mode = "test: its PINs are not protected"
			}
			environment := home.Env + "=" + h.Dir
			if asJSON, _ := wantsJSON(cmd); !asJSON {
				environment = "export " + environment
			}
			return printFields(cmd, []field{
				{"HSM", "home", h.Dir},
				{"Mode", "mode", mode},
				{"Partition", "partition", p.Label},
				{"Slot", "slot", 0},
				{"Use it with", "environment", environment},
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Label, "label", "", "label of the partition, 1 to 32 characters")
	f.StringVar(&p.SOPIN, "so-pin", "", "PIN of the HSM SO and the Partition SO, 4 to 255 characters")
	f.StringVar(&p.PIN, "pin", "", "PIN of the Crypto Officer, 4 to 255 characters")
	f.StringVar(&kdf, "kdf", "default", "password hash: default, or test, which costs nothing and marks the HSM as a test HSM")
	f.Uint8Var(&partitionVersion, "partition-version", 0, "version of the partition, 0 or 1; from firmware 7.7.0 on")
	shape.add(f)
	return cmd
}
