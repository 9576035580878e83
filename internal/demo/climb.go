package demo

import (
	"context"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

const (
	catalogRate = 800 // requests per second
	// One of so many requests fails: 0.5 % and 2 %.
	failsAsEver = 200
	failsMore   = 50
	// climbTimeout is how long one part of the ramp may take.
	climbTimeout = time.Minute
)

// climb lets a ramp go up by itself, meet a new that fails, go back, and go up again.
func (d *demo) climb(ctx context.Context) error {
	d.beginStep("Nobody types percentages: a ramp")
	d.print("   (shortened for the demo: new is compared every %s instead of 10s, a step lasts 1s at least", rampInterval)
	d.print("   instead of 30m, 300 requests to new are enough instead of 600, and the judge has other limits,")
	d.print("   so that 2 %% against 0.5 %% is found in seconds: failures tolerate 1 instead of 1.5, max_extra 1,")
	d.print("   slow tolerate 5, exclude 20, allow 1s; and the way back is a portion each second)")
	d.old.failEvery.Store(failsAsEver)
	d.new.failEvery.Store(failsAsEver)
	catalog := startTraffic(ctx, request{proxy: d.listen, host: "catalog.example.com", path: catalogPath}, catalogRate)
	defer catalog.stop()
	reloads := d.reloads(ctx)
	if err := d.command(ctx, "update", "catalog", "50"); err != nil {
		return err
	}
	began := time.Now()
	d.claim(d.awaitShare(ctx, 20), "catalog is at 20 %% after %s", since(began))
	d.claim(d.awaitShare(ctx, 50), "both fail 0.5 %% of their requests: catalog is at 50 %% after %s", since(began))

	d.print("   (new fails 2 %% from now on, and old 0.5 %% as ever)")
	d.new.failEvery.Store(failsMore)
	began = time.Now()
	d.claim(d.awaitShare(ctx, 20), "the ramp went back to 20 %% after %s", since(began))
	if err := d.command(ctx, "status", "--service", "catalog"); err != nil {
		return err
	}
	d.print("   (new is mended)")
	d.new.failEvery.Store(failsAsEver)
	began = time.Now()
	d.claim(d.awaitShare(ctx, 50), "catalog is at 50 %% again after %s", since(began))
	d.claim(d.reloads(ctx) == reloads, "%d reloads of nginx", d.reloads(ctx)-reloads)
	lost := catalog.stop()
	d.print("         of %d requests, %d got the error that the application answered", lost.sent, lost.totalFailed())
	return d.command(ctx, "update", "catalog", "0")
}

func since(began time.Time) time.Duration { return time.Since(began).Round(100 * time.Millisecond) }

// awaitShare waits until the share of service catalog is in force.
func (d *demo) awaitShare(ctx context.Context, percent float64) bool {
	return poll(ctx, climbTimeout, func() bool { return d.service(ctx, "catalog").Split.Share == percent })
}

func (d *demo) reloads(ctx context.Context) int {
	proxy, err := d.status(ctx)
	if err != nil {
		return -1
	}
	return proxy.Nginx.Reloads
}

// service is the status of a service; empty if the proxy does not answer.
func (d *demo) service(ctx context.Context, name string) status.Service {
	proxy, err := d.status(ctx)
	if err != nil {
		return status.Service{}
	}
	for _, service := range proxy.Services {
		if service.Name == name {
			return service
		}
	}
	return status.Service{}
}
