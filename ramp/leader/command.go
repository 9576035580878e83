package leader

import (
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Command gives the newest command for a service as package ramp takes it; nil: none.
func Command(commands status.Commands, service migration.Name) *ramp.Command {
	c, ok := commands.Services[string(service)]
	if !ok {
		return nil
	}
	return &ramp.Command{ID: c.ID, Verb: ramp.Verb(c.Verb), Position: migration.ShareOf(c.Share), By: c.By, Reason: c.Reason}
}
