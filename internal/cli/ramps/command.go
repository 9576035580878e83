package ramps

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Verbs are what a person may want of a ramp.
var Verbs = []string{string(ramp.Approve), string(ramp.HoldOn), string(ramp.Resume), string(ramp.Skip), string(ramp.Back)}

// maxReason is how long a reason may be: it goes into Events and the journal.
const maxReason = 200

// Order is what a person types.
type Order struct {
	Service migration.Name
	Verb    ramp.Verb
	Reason  string
}

// ParseOrder checks what a person types.
func ParseOrder(service, verb, reason string) (Order, error) {
	name, err := migration.ParseName(service)
	if err != nil {
		return Order{}, err
	}
	if !slices.Contains(Verbs, verb) {
		return Order{}, fmt.Errorf("%q: use %s", verb, strings.Join(Verbs, ", "))
	}
	if utf8.RuneCountInString(reason) > maxReason || strings.ContainsFunc(reason, unicode.IsControl) {
		return Order{}, fmt.Errorf("--reason: one line of at most %d characters", maxReason)
	}
	return Order{name, ramp.Verb(verb), reason}, nil
}

// Send gives the order to the leader, waits until it has taken it, and prints what
// happened. An order that did nothing is an error.
func Send(ctx context.Context, w io.Writer, from Source, order Order, pace waiting.Pace) error {
	now, err := snapshotOf(ctx, from)
	if err != nil {
		return err
	}
	row, err := now.row(order.Service)
	if err != nil {
		return err
	}
	if row.Phase == ramp.Off {
		return fmt.Errorf("the ramp of %s is off: %s", order.Service, row.Why)
	}
	by, err := from.user(ctx)
	if err != nil {
		return err
	}
	command := status.RampCommand{ID: rand.Text(), Verb: string(order.Verb), Share: row.Position, By: by, Reason: order.Reason, At: time.Now().UTC()}
	if err := from.send(ctx, string(order.Service), command); err != nil {
		return err
	}
	taken := taken{from: from, service: order.Service, command: command, timeout: pace.Timeout}
	if err := waiting.Until(ctx, &taken, pace); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s by %s: %s\n", order.Verb, by, taken.row)
	return err
}

// row is the one of a service; the error says why there is none.
func (s snapshot) row(service migration.Name) (rampview.Row, error) {
	for _, row := range s.rows {
		if row.Service == string(service) {
			return row, nil
		}
	}
	if _, err := s.table.Lookup(service); err != nil {
		return rampview.Row{}, waiting.FinalError{Cause: err}
	}
	return rampview.Row{}, waiting.FinalError{Cause: fmt.Errorf("service %s has no ramp; write migration.ramp in the config", service)}
}

// taken is the condition that the leader has taken a command.
type taken struct {
	from    Source
	service migration.Name
	command status.RampCommand
	timeout time.Duration // for the message only
	row     rampview.Row  // of the last look
}

func (t *taken) Check(ctx context.Context) error {
	now, err := snapshotOf(ctx, t.from)
	if err != nil {
		return err
	}
	if t.row, err = now.row(t.service); err != nil {
		return err
	}
	newest := now.commands.Services[string(t.service)]
	switch {
	case t.row.State.Command == t.command.ID && t.row.State.Refused != "":
		return waiting.FinalError{Cause: fmt.Errorf("%s did nothing: %s; the ramp is: %s", t.command.Verb, t.row.State.Refused, t.row)}
	case t.row.State.Command == t.command.ID:
		return nil
	case newest.ID != t.command.ID:
		return waiting.FinalError{Cause: fmt.Errorf("%s was replaced by %.20q of %.60q before it was taken", t.command.Verb, newest.Verb, newest.By)}
	}
	return fmt.Errorf("%s is written, and was not taken within %s: is a leader running? It does it when it is back, if the ramp is at %g%% then",
		t.command.Verb, t.timeout, t.command.Share)
}
