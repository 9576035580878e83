package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// measureAdmission writes Ingresses through a real API server, in turns in four
// namespaces: without a webhook, with an empty webhook, with a webhook that
// answers with a prepared edit, and with ours.
func measureAdmission(ctx context.Context, h *harness) error {
	c, err := h.startAdmissionCluster(ctx)
	if err != nil {
		return err
	}
	defer c.stop()
	h.printf("%d services, %d Ingresses\n\n", admittedServices, admittedIngresses)
	rows := [][]string{{"a write", "", "no webhook", "empty adds", "prepared edit adds", "ours adds", "ours to empty", "ours to prepared"}}
	for _, kind := range writes {
		figures, err := h.admissions(ctx, c, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		rows = append(rows, figures.rows(kind.name)...)
	}
	if err := h.table(rows); err != nil {
		return err
	}
	h.printf("\naim: ours adds at most 1.2 times what the empty one adds; %d writes of each in a round\n", h.writesARound())
	return nil
}

func (h *harness) writesARound() int {
	if h.short {
		return 100
	}
	return 500
}

// write is one kind of write to an Ingress; n is the number of the write. It
// also fails when the answer is not what the group's webhook makes of it.
type write struct {
	name string
	do   func(ctx context.Context, c *admissionCluster, g *group, n int) error
	undo func(ctx context.Context, c *admissionCluster, g *group, n int) error // runs after do and is not timed; may be nil
}

var writes = []write{
	{"a label, dry run; is edited", tryLabel, nil},
	{"a label; was edited before", setLabel, nil},
	{"a new Ingress; is edited", create, remove},
}

// The first 100 Ingresses of a namespace get dry runs only, so that each one has
// to be edited. The next 100 are really written: the first round edits them.
const labeled = 100

func tryLabel(ctx context.Context, c *admissionCluster, g *group, n int) error {
	return label(ctx, c, g, n, n%labeled, "All")
}

func setLabel(ctx context.Context, c *admissionCluster, g *group, n int) error {
	return label(ctx, c, g, n, labeled+n%labeled, "")
}

func label(ctx context.Context, c *admissionCluster, g *group, value, ingress int, dryRun string) error {
	body := fmt.Sprintf(`{"metadata":{"labels":{"release":"r%d"}}}`, value)
	request := c.client.NetworkingV1().RESTClient().Patch(types.MergePatchType).Name(ingressName(ingress)).Body([]byte(body))
	if dryRun != "" {
		request.Param("dryRun", dryRun)
	}
	return g.send(ctx, request)
}

// created is the number of the n-th Ingress that a write creates, after those
// that exist from the start.
func created(n int) int { return admittedIngresses + n }

func create(ctx context.Context, c *admissionCluster, g *group, n int) error {
	body, err := json.Marshal(admittedIngress(created(n)))
	if err != nil {
		return err
	}
	return g.send(ctx, c.client.NetworkingV1().RESTClient().Post().Body(body).SetHeader("Content-Type", "application/json"))
}

func remove(ctx context.Context, c *admissionCluster, g *group, n int) error {
	request := c.client.NetworkingV1().RESTClient().Delete().Namespace(g.namespace).Resource("ingresses").Name(ingressName(created(n)))
	return request.Do(ctx).Error()
}

// send writes in the group's namespace. It does not decode the answer, because
// that would add time of the client.
func (g *group) send(ctx context.Context, request *rest.Request) error {
	answer, err := request.Namespace(g.namespace).Resource("ingresses").SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", g.name, err, answer)
	}
	if edited := bytes.Contains(answer, []byte(`"`+ingressgen.AnnotationPhase+`"`)); edited != g.edits {
		return fmt.Errorf("%s: has a phase: %t, expected %t: %s", g.name, edited, g.edits, answer)
	}
	return nil
}

// perGroup has one value for each group, in the order of admissionCluster.all.
type perGroup[T any] [groupCount]T

// admissionFigures are the measurements of one kind of write.
type admissionFigures struct {
	p50    perGroup[[]time.Duration] // one value per round
	writes perGroup[[]time.Duration] // all writes of all rounds: one round has too few for a p99
	cpu    perGroup[[]time.Duration] // of the webhook's process per write, one value per round
}

func (h *harness) admissions(ctx context.Context, c *admissionCluster, kind write) (*admissionFigures, error) {
	figures := &admissionFigures{}
	count := h.writesARound()
	for round := range h.rounds + 1 {
		took, cpu, err := c.round(ctx, kind, round*count, count)
		if err != nil {
			return nil, err
		}
		if round == 0 {
			continue // fills caches, opens connections and rewrites what is rewritten once
		}
		for i := range took {
			figures.p50[i] = append(figures.p50[i], median(took[i]))
			figures.writes[i] = append(figures.writes[i], took[i]...)
			figures.cpu[i] = append(figures.cpu[i], cpu[i]/time.Duration(count))
		}
	}
	return figures, nil
}

// round writes in all groups in turns. Each turn begins with another group.
func (c *admissionCluster) round(ctx context.Context, kind write, from, count int) (took perGroup[[]time.Duration], cpu perGroup[time.Duration], err error) {
	before, err := c.cpu()
	if err != nil {
		return took, cpu, err
	}
	for n := from; n < from+count; n++ {
		for turn := range took {
			i := (n + turn) % len(took)
			duration, err := c.timed(ctx, kind, c.all()[i], n)
			if err != nil {
				return took, cpu, err
			}
			took[i] = append(took[i], duration)
		}
	}
	after, err := c.cpu()
	for i := range cpu {
		cpu[i] = after[i] - before[i]
	}
	return took, cpu, err
}

func (c *admissionCluster) timed(ctx context.Context, kind write, g *group, n int) (time.Duration, error) {
	begin := time.Now()
	if err := kind.do(ctx, c, g, n); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if kind.undo == nil {
		return took, nil
	}
	return took, kind.undo(ctx, c, g, n)
}

func (c *admissionCluster) cpu() (used perGroup[time.Duration], err error) {
	for i, g := range c.all() {
		if g.webhook == nil {
			continue
		}
		if used[i], err = cpuTime(g.webhook.pid()); err != nil {
			return used, err
		}
	}
	return used, nil
}

// rows gives one row for each quantity. The first row has the write's name.
func (f *admissionFigures) rows(name string) [][]string {
	var p99 perGroup[[]time.Duration]
	for i := range p99 {
		p99[i] = []time.Duration{quantile(f.writes[i], 0.99)}
	}
	return [][]string{
		append([]string{name, "p50"}, compared(f.p50)...),
		append([]string{"", "p99 of all rounds"}, compared(p99)...),
		append([]string{"", "CPU of the webhook"}, compared(f.cpu)...),
	}
}

// compared gives the cells of a row: how long a write takes without a webhook,
// what each webhook adds, and the ratio of ours to the others.
func compared(all perGroup[[]time.Duration]) []string {
	none, empty, ready, ours := all[0], added(all[1], all[0]), added(all[2], all[0]), added(all[3], all[0])
	cells := []string{microseconds(median(none))}
	for _, times := range [][]float64{empty, ready, ours} {
		cells = append(cells, fmt.Sprintf("%.0f µs", median(times)))
	}
	return append(cells, medianAndRange(ratios(ours, empty)), medianAndRange(ratios(ours, ready)))
}

// added gives the differences, round by round, in microseconds.
func added(with, without []time.Duration) []float64 {
	all := make([]float64, len(with))
	for i := range with {
		all[i] = float64(with[i]-without[i]) / float64(time.Microsecond)
	}
	return all
}
