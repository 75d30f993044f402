package main

import (
	"strconv"
	"strings"

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
	f.StringVar(&s.firmware, "firmware", "", "firmware level of the new HSM, such as 7.4.2; the newest")
	f.StringVar(&s.memory, "memory", "", "memory of the new HSM, such as 16MB; 4GB")
	f.Uint16Var(&s.partitions, "partitions", 0, "how many partitions the new HSM may have; 10")
}

// given tells whether the command line has any of the flags.
func (s *shapeFlags) given(cmd *cobra.Command) bool {
	f := cmd.Flags()
	return f.Changed("firmware") || f.Changed("memory") || f.Changed("partitions")
}

func (s *shapeFlags) parse() (shape home.Shape, err error) {
	if s.firmware != "" {
		if shape.Firmware, err = firmware.Parse(s.firmware); err != nil {
			return shape, wrongUse("--firmware: %v", err)
		}
	}
	if s.memory != "" {
		if shape.Memory, err = parseMemory(s.memory); err != nil {
			return shape, err
		}
	}
	shape.Partitions = s.partitions
	return shape, nil
}

// parseMemory reads a number of bytes, or of KB, MB or GB of 1024 of the one before, as
// sizes of memory are told.
func parseMemory(text string) (uint64, error) {
	number, unit := text, uint64(1)
	for i, suffix := range []string{"KB", "MB", "GB"} {
		if n, has := strings.CutSuffix(strings.ToUpper(text), suffix); has {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || n > ^uint64(0)/unit {
		return 0, wrongUse("--memory %s: a number of bytes, or one with KB, MB or GB, such as 16MB", text)
	}
	return n * unit, nil
}
