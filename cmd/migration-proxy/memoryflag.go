package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// memoryOptions is the flag of the commands that run in a container with a limit.
type memoryOptions struct{ limit int64 }

func (o *memoryOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Int64Var(&o.limit, "memory-limit", 0, "bytes that the container may have, so that garbage is collected before they are used up; 0 is no limit")
	environmentOf(flags, "memory-limit")
}

func (o *memoryOptions) check() error {
	if o.limit < 0 {
		return wrongUsage("--memory-limit %d: use a number of bytes, or 0 for no limit", o.limit)
	}
	return nil
}

// apply gives Go's heap a part of the limit: beside the agent, nginx and the runtime
// directory need memory. The variable GOMEMLIMIT of Go has precedence.
func (o *memoryOptions) apply(percent int64) {
	if o.limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(o.limit / 100 * percent)
	}
}
