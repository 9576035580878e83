package update

import "time"

// Options say how far an update goes.
type Options struct {
	DryRun  bool          // compute the change and write nothing
	NoWait  bool          // write, and do not wait until the change is served
	Timeout time.Duration // how long to wait
}

func (o Options) waits() bool { return !o.DryRun && !o.NoWait }
