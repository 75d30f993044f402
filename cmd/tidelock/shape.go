package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/home"
)

// shapeFlags say what the hardware of a new HSM would be.
type shapeFlags struct {
	firmware, memory string
	partitions       uint16
}

func (s *shapeFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.firmware, "firmware", "", "firmware level of the new HSM, such as 7.4.2 (default "+firmware.Newest.String()+")")
	f.StringVar(&s.memory, "memory", "", "memory of the new HSM, such as 16MB (default 4GB)")
	f.Uint16Var(&s.partitions, "partitions", 0, "how `many` partitions the new HSM may have, 1 to 100 (default 10)")
}

// given tells whether the command line has any of the flags.
func (s *shapeFlags) given(cmd *cobra.Command) bool {
	f := cmd.Flags()
	return f.Changed("firmware") || f.Changed("memory") || f.Changed("partitions")
}

func (s *shapeFlags) parse(cmd *cobra.Command) (shape home.Shape, err error) {
	if s.firmware != "" {
		if shape.Firmware, err = parseLevel(s.firmware); err != nil {
			return shape, err
		}
	}
	if s.memory != "" {
		var ok bool
		if shape.Memory, ok = parseBytes(s.memory); !ok {
			return shape, wrongUse("--memory %s: a number of bytes, or one with K, M or G, such as 16MB", s.memory)
		}
	}
	if s.partitions == 0 && cmd.Flags().Changed("partitions") {
		return shape, wrongUse("--partitions 0: an HSM has one at least")
	}
	shape.Partitions = s.partitions
	return shape, nil
}

// parseLevel reads a firmware level that there is.
func parseLevel(text string) (firmware.Level, error) {
	l, err := firmware.Parse(text)
	if err == nil {
		_, err = firmware.Describe(l)
	}
	if err != nil {
		var known levels
		for _, l := range firmware.Levels() {
			known = append(known, l.String())
		}
		return l, wrongUse("%q is no firmware level: there are %v", text, known)
	}
	return l, nil
}
