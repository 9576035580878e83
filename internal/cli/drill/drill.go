package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	// lookInterval is how often replicas are asked: the times are measured with it.
	lookInterval = 50 * time.Millisecond
	// startTimeout is how long all replicas have to begin, backTimeout to end.
	startTimeout = 15 * time.Second
	backTimeout  = 90 * time.Second
	// DefaultTime is how long a drill takes.
	DefaultTime = 15 * time.Second
)

// Options are what a person may want of a drill.
type Options struct {
	Service migration.Name
	For     time.Duration // how long new gets nothing
}

// drilling is one drill under way.
type drilling struct {
	w       io.Writer
	from    Source
	service string
	drill   status.Drill
	written time.Time // of the order
	before  totals
	result  result
}

// Run makes a drill, and prints what it measured. However it ends, the service returns: when
// ctx ends, the drill is ended at once, and if this process dies, at its time.
func Run(ctx context.Context, w io.Writer, from Source, o Options) error {
	d, err := prepare(ctx, w, from, o)
	if err != nil {
		return err
	}
	d.say("drill: all requests of %s go to old until %s; then the share is back by itself, whatever becomes of this command", d.service, d.drill.Until.Local().Format(time.TimeOnly))
	d.written = time.Now()
	if err := from.write(ctx, d.service, d.drill); err != nil {
		return err
	}
	failed := d.rehearse(ctx)
	ctx = context.WithoutCancel(ctx)
	if err := d.back(ctx); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	d.drill.Result = d.result.String()
	d.say("%s", d.drill.Result)
	if err := from.write(ctx, d.service, d.drill); err != nil {
		return fmt.Errorf("the result is not in the journal: %w", err)
	}
	if d.result.toNew > 0 {
		return fmt.Errorf("%d requests reached new although all replicas had begun the drill", d.result.toNew)
	}
	return nil
}

func prepare(ctx context.Context, w io.Writer, from Source, o Options) (*drilling, error) {
	table, err := from.table(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := table.Lookup(o.Service); err != nil {
		return nil, err
	}
	name := string(o.Service)
	replicas, err := from.replicas(ctx)
	if err != nil {
		return nil, err
	}
	phase, err := from.phase(ctx, name)
	if err != nil {
		return nil, err
	}
	if why := refusal(name, replicas, phase); why != "" {
		return nil, fmt.Errorf("no drill of %s: %s", name, why)
	}
	by, err := from.user(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	return &drilling{
		w: w, from: from, service: name, before: add(name, replicas),
		drill: status.Drill{ID: rand.Text(), By: by, At: now, Until: now.Add(o.For)},
	}, nil
}

// say prints a line. That nobody reads must not end a drill in another way.
func (d *drilling) say(format string, args ...any) { _, _ = fmt.Fprintf(d.w, format+"\n", args...) }

// rehearse waits until all replicas have begun, and then for the end.
func (d *drilling) rehearse(ctx context.Context) error {
	begun, stop := context.WithTimeout(ctx, min(startTimeout, time.Until(d.drill.Until)))
	defer stop()
	if err := d.await(begun, (*status.Service).InDrill); err != nil {
		return fmt.Errorf("not every replica began the drill: %w", err)
	}
	d.result.toOld = time.Since(d.written)
	d.say("new has got its last request, %s after the order", d.result.toOld.Round(time.Millisecond))
	select {
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case <-time.After(time.Until(d.drill.Until) - lookInterval):
	}
	replicas, err := d.from.replicas(ctx)
	if err != nil {
		return err
	}
	d.result.toNew = requestsToNew(d.service, replicas)
	return nil
}

// back ends the drill and waits until the share is back.
func (d *drilling) back(ctx context.Context) error {
	if now := time.Now(); now.Before(d.drill.Until.Add(-lookInterval)) {
		d.drill.Until = now.UTC()
		if err := d.from.write(ctx, d.service, d.drill); err != nil {
			return fmt.Errorf("end the drill: %w; it ends by itself", err)
		}
	}
	ctx, stop := context.WithTimeout(ctx, backTimeout)
	defer stop()
	if err := d.await(ctx, isBack); err != nil {
		return fmt.Errorf("the share is not back yet: %w; 'migration-proxy status' tells more", err)
	}
	d.result.back = time.Since(d.drill.Until)
	if err := d.awaitPhase(ctx); err != nil {
		return err
	}
	replicas, err := d.from.replicas(ctx)
	d.result.meanwhile = add(d.service, replicas).minus(d.before)
	return err
}

func isBack(row *status.Service) bool { return !row.InDrill() && row.Phase == status.Migrating }

// await waits until all replicas say it of the service. The error says which does not.
func (d *drilling) await(ctx context.Context, says func(*status.Service) bool) error {
	for {
		replicas, err := d.from.replicas(ctx)
		if err == nil {
			err = notYet(d.service, replicas, says)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookInterval):
		}
	}
}

func notYet(service string, replicas []replica, says func(*status.Service) bool) error {
	for _, one := range replicas {
		row := one.row(service)
		switch {
		case one.err != nil:
			return fmt.Errorf("%s: %w", one.name, one.err)
		case row == nil:
			return fmt.Errorf("%s does not serve it", one.name)
		case !says(row):
			return fmt.Errorf("%s is %s (%s)", one.name, row.Phase, row.Reason)
		}
	}
	return nil
}

// awaitPhase waits until the Ingresses are back as well.
func (d *drilling) awaitPhase(ctx context.Context) error {
	for {
		phase, err := d.from.phase(ctx, d.service)
		if err == nil && phase.Phase == status.Migrating {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the Ingresses do not point at the proxy yet: %s %s", phase.Phase, phase.Reason), err)
		case <-time.After(lookInterval):
		}
	}
}
