package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/firmware"
)

// clientSettings are those of a client of the HSM that the command line means.
func clientSettings(cmd *cobra.Command) (client.Settings, error) {
	h, err := homeOf(cmd)
	if err != nil {
		return client.LoadSettings("")
	}
	return client.LoadSettings(h.Dir)
}

// cameWith is the flag annotation that names the client's feature a flag belongs to.
const cameWith = "tidelock_came_with"

// since marks a flag that clients without a feature do not have.
func since(cmd *cobra.Command, flag string, feature firmware.Feature) {
	// The flag is there: whoever marks it has made it.
	_ = cmd.Flags().SetAnnotation(flag, cameWith, []string{string(feature)})
}

// cameLate is the feature that a client of a level lacks for a flag, if it does.
func cameLate(f *pflag.Flag, level firmware.Level) firmware.Feature {
	for _, name := range f.Annotations[cameWith] {
		if feature := firmware.Feature(name); !firmware.ClientHas(level, feature) {
			return feature
		}
	}
	return ""
}

// checkFlags refuses flags that a client of the level that is set did not have.
func checkFlags(cmd *cobra.Command) error {
	var late []*pflag.Flag
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Annotations[cameWith] != nil {
			late = append(late, f)
		}
	})
	if len(late) == 0 {
		return nil // and whatever the settings are, the command does without
	}
	settings, err := clientSettings(cmd)
	if err != nil {
		return err
	}
	for _, f := range late {
		if feature := cameLate(f, settings.Level); feature != "" {
			return wrongUse("unknown flag: --%s (it came with client %v, and this is one of %v)", f.Name, firmware.ClientSince(feature), settings.Level)
		}
	}
	return nil
}

// hideFlags leaves flags out of the help that a client of the level that is set did not
// have.
func hideFlags(cmd *cobra.Command) {
	settings, err := clientSettings(cmd)
	if err != nil {
		return // the help is no place to complain
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Hidden || cameLate(f, settings.Level) != "" })
}

// needs refuses what the HSM's firmware does not have, before anything is done.
func needs(c *link, feature firmware.Feature, what string) error {
	info, err := hsmInfo(c)
	if err != nil {
		return err
	}
	level, err := firmware.Parse(info.Firmware)
	if err != nil {
		return fmt.Errorf("the server's answer is malformed: %w", err)
	}
	if !level.Has(feature) {
		return fmt.Errorf("%s needs firmware %v, and this HSM has %v: nothing was changed", what, firmware.Since(feature), level)
	}
	return nil
}
