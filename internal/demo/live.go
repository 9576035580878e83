package demo

import (
	"context"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

const (
	liveRate    = 40  // requests per second to shop
	liveCatalog = 300 // and to catalog, whose ramp needs evidence
	// sceneTime is how long each scene lasts: long enough that ramps move.
	sceneTime = 40 * time.Second
)

// live keeps a sample migration running to look at, until ctx ends: traffic, a ramp that climbs and
// goes back, and a new that dies now and then.
func (d *demo) live(ctx context.Context) error {
	d.print(`A sample migration to look at, until Ctrl-C:

  the page   http://%s/

  shop       at 25 %%; every few minutes new is gone for a while, and shop falls back
  catalog    a ramp that climbs to 50 %%, and goes back while new fails more
  account    prepared, and without requests`, d.http)
	d.old.failEvery.Store(failsAsEver)
	d.new.failEvery.Store(failsAsEver)
	all := []*traffic{
		startTraffic(ctx, request{proxy: d.listen, host: "shop.example.com", path: "/orders"}, liveRate),
		startTraffic(ctx, request{proxy: d.listen, host: "catalog.example.com", path: catalogPath}, liveCatalog),
	}
	defer func() {
		for _, one := range all {
			one.stop()
		}
	}()
	for _, share := range [][2]string{{"shop", "25"}, {"catalog", "50"}} {
		if err := d.command(ctx, "update", share[0], share[1]); err != nil {
			return err
		}
	}
	for scene := 0; pause.For(ctx, sceneTime); scene++ {
		for _, one := range all {
			one.forget()
		}
		d.old.forget()
		d.new.forget()
		if err := d.playScene(scene % 4); err != nil {
			return err
		}
	}
	return nil
}

// playScene changes how new does: worse, mended, dead, alive again.
func (d *demo) playScene(scene int) error {
	d.new.failEvery.Store(failsAsEver)
	switch scene {
	case 0:
		d.print("   (new fails 2 %% of catalog from now on)")
		d.new.failEvery.Store(failsMore)
	case 1:
		d.print("   (new is mended)")
	case 2:
		d.print("   (new is killed)")
		d.new.kill()
	case 3:
		d.print("   (new is back)")
		return d.new.revive()
	}
	return nil
}

// forget drops the results: nobody counts them in a demo that runs for hours.
func (t *traffic) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results = nil
}

// forget drops what has arrived.
func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.arrived)
}
