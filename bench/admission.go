package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// measureAdmission writes Ingresses as users do, through a real API server, in
// turns where no webhook is asked, an empty one, one that answers with a
// ready-made edit like ours, and ours.
func measureAdmission(ctx context.Context, b *bed) error {
	w, err := b.startSites(ctx)
	if err != nil {
		return err
	}
	defer w.stop()
	b.printf("%d services, %d Ingresses\n\n", admittedServices, admittedIngresses)
	rows := [][]string{{"a write", "", "no webhook", "empty adds", "ready-made edit adds", "ours adds", "ours to empty", "ours to ready-made"}}
	for _, kind := range writes {
		figures, err := b.admissions(ctx, w, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		rows = append(rows, figures.rows(kind.name)...)
	}
	if err := b.table(rows); err != nil {
		return err
	}
	b.printf("\naim: ours adds at most 1.2 times what the empty one adds; %d writes of each in a round\n", b.writesARound())
	return nil
}

func (b *bed) writesARound() int {
	if b.short {
		return 100
	}
	return 500
}

// write is one way in which Ingresses are written. It takes from n whose turn it is, and
// fails also when the Ingress is not what the site's webhook makes of it.
type write struct {
	name string
	do   func(ctx context.Context, w *sites, in *site, n int) error
	undo func(ctx context.Context, w *sites, in *site, n int) error // afterwards, not timed; nil: nothing
}

var writes = []write{
	{"a label, dry run; is rewritten", tryLabel, nil},
	{"a label; was rewritten before", setLabel, nil},
	{"a new Ingress; is rewritten", create, remove},
}

// Some of a namespace's Ingresses are only tried, so that each time they have to
// be rewritten; as many others are written, and so rewritten in the first round.
const labelled = 100

func tryLabel(ctx context.Context, w *sites, in *site, n int) error {
	return label(ctx, w, in, n, n%labelled, "All")
}

func setLabel(ctx context.Context, w *sites, in *site, n int) error {
	return label(ctx, w, in, n, labelled+n%labelled, "")
}

func label(ctx context.Context, w *sites, in *site, value, ingress int, dryRun string) error {
	body := fmt.Sprintf(`{"metadata":{"labels":{"release":"r%d"}}}`, value)
	request := w.client.NetworkingV1().RESTClient().Patch(types.MergePatchType).Name(ingressName(ingress)).Body([]byte(body))
	if dryRun != "" {
		request.Param("dryRun", dryRun)
	}
	return in.send(ctx, request)
}

// created are the Ingresses beyond those that are always there.
func created(n int) int { return admittedIngresses + n }

func create(ctx context.Context, w *sites, in *site, n int) error {
	body, err := json.Marshal(admittedIngress(created(n)))
	if err != nil {
		return err
	}
	return in.send(ctx, w.client.NetworkingV1().RESTClient().Post().Body(body).SetHeader("Content-Type", "application/json"))
}

func remove(ctx context.Context, w *sites, in *site, n int) error {
	request := w.client.NetworkingV1().RESTClient().Delete().Namespace(in.namespace).Resource("ingresses").Name(ingressName(created(n)))
	return request.Do(ctx).Error()
}

// send writes in the site's namespace. The answer is not decoded, that would be the
// client's time.
func (w *site) send(ctx context.Context, request *rest.Request) error {
	answer, err := request.Namespace(w.namespace).Resource("ingresses").SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", w.name, err, answer)
	}
	if edited := bytes.Contains(answer, []byte(`"name":"`+names.ProxyService+`"`)); edited != w.edits {
		return fmt.Errorf("%s: points at the proxy: %t, expected %t: %s", w.name, edited, w.edits, answer)
	}
	return nil
}

// perSite has one value for each of sites.all.
type perSite[T any] [siteCount]T

// admissionFigures has a value per round, but for the writes.
type admissionFigures struct {
	p50    perSite[[]time.Duration]
	writes perSite[[]time.Duration] // of all rounds: one has too few for a p99
	cpu    perSite[[]time.Duration] // of the webhook's process, per write
}

func (b *bed) admissions(ctx context.Context, w *sites, kind write) (*admissionFigures, error) {
	figures := &admissionFigures{}
	count := b.writesARound()
	for round := range b.rounds + 1 {
		took, cpu, err := w.round(ctx, kind, round*count, count)
		if err != nil {
			return nil, err
		}
		if round == 0 {
			continue // caches, connections, and what is rewritten once
		}
		for i := range took {
			figures.p50[i] = append(figures.p50[i], median(took[i]))
			figures.writes[i] = append(figures.writes[i], took[i]...)
			figures.cpu[i] = append(figures.cpu[i], cpu[i]/time.Duration(count))
		}
	}
	return figures, nil
}

// round writes in all sites in turns; who comes first changes.
func (w *sites) round(ctx context.Context, kind write, from, count int) (took perSite[[]time.Duration], cpu perSite[time.Duration], err error) {
	before, err := w.cpu()
	if err != nil {
		return took, cpu, err
	}
	for n := from; n < from+count; n++ {
		for turn := range took {
			i := (n + turn) % len(took)
			one, err := w.timed(ctx, kind, w.all()[i], n)
			if err != nil {
				return took, cpu, err
			}
			took[i] = append(took[i], one)
		}
	}
	after, err := w.cpu()
	for i := range cpu {
		cpu[i] = after[i] - before[i]
	}
	return took, cpu, err
}

func (w *sites) timed(ctx context.Context, kind write, in *site, n int) (time.Duration, error) {
	begin := time.Now()
	if err := kind.do(ctx, w, in, n); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if kind.undo == nil {
		return took, nil
	}
	return took, kind.undo(ctx, w, in, n)
}

func (w *sites) cpu() (used perSite[time.Duration], err error) {
	for i, one := range w.all() {
		if one.webhook == nil {
			continue
		}
		if used[i], err = cpuTime(one.webhook.pid()); err != nil {
			return used, err
		}
	}
	return used, nil
}

// rows are one for each quantity, the first with the write's name.
func (f *admissionFigures) rows(name string) [][]string {
	var p99 perSite[[]time.Duration]
	for i := range p99 {
		p99[i] = []time.Duration{quantile(f.writes[i], 0.99)}
	}
	return [][]string{
		append([]string{name, "p50"}, compared(f.p50)...),
		append([]string{"", "p99 of all rounds"}, compared(p99)...),
		append([]string{"", "CPU of the webhook"}, compared(f.cpu)...),
	}
}

// compared tells what a write takes without a webhook, what each one adds, and
// how ours compares.
func compared(all perSite[[]time.Duration]) []string {
	none, empty, ready, ours := all[0], added(all[1], all[0]), added(all[2], all[0]), added(all[3], all[0])
	cells := []string{microseconds(median(none))}
	for _, one := range [][]float64{empty, ready, ours} {
		cells = append(cells, fmt.Sprintf("%.0f µs", median(one)))
	}
	return append(cells, spread(ratios(ours, empty)), spread(ratios(ours, ready)))
}

// added gives the differences, round by round, in microseconds.
func added(with, without []time.Duration) []float64 {
	all := make([]float64, len(with))
	for i := range with {
		all[i] = float64(with[i]-without[i]) / float64(time.Microsecond)
	}
	return all
}
