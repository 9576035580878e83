package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

const (
	replicaCount = 2
	replicaRate  = 1000 // requests per second to each
	// mostInConfigMap is how many of our services fit into the 1 MiB of a
	// ConfigMap.
	mostInConfigMap = 3000
	// unanimous is how long nobody may get the old share until an edit counts
	// as in force.
	unanimous = 30 * time.Millisecond
)

// measureConfigMap edits one percentage in the ConfigMap, on a real API
// server, and sees when the last request goes by the share before, on any of
// two replicas under load.
func measureConfigMap(ctx context.Context, b *bed) error {
	control, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = control.Stop() }() // what is left is in a temporary folder
	rows := [][]string{{"services", "edits", "p50", "p99", "slowest", "requests", "failed"}}
	for _, count := range b.sizes() {
		count = min(count, mostInConfigMap)
		row, err := b.configMapEdits(ctx, control, count)
		if err != nil {
			return errors.Join(b.table(rows), fmt.Errorf("%d services: %w", count, err))
		}
		rows = append(rows, row)
	}
	if err := b.table(rows); err != nil {
		return err
	}
	b.printf("\naim: p99 below 300 ms, none failed; counted from the API server's answer to the edit\n")
	return nil
}

// follower is what edits need: the ConfigMap, and when each side of service 0
// answered last (nanoseconds), over all replicas.
type follower struct {
	client    kubernetes.Interface
	namespace string
	old, new  atomic.Int64
}

func (b *bed) configMapEdits(ctx context.Context, control *controlplane.ControlPlane, count int) ([]string, error) {
	f, texts, err := b.follow(ctx, control, count)
	if err != nil {
		return nil, err
	}
	if err := f.write(ctx, texts[0]); err != nil {
		return nil, err
	}
	var planes []*plane
	for range replicaCount {
		p, err := b.startFollower(ctx, control.Kubeconfig(), f.namespace)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		planes = append(planes, p)
	}
	loading, end := context.WithCancel(ctx)
	defer end()
	reports := f.load(loading, planes)
	edits := 200
	if b.short {
		edits = 20
	}
	var took []time.Duration
	for i := range edits {
		one, err := f.edit(ctx, texts[(i+1)%2], i%2 == 0)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	end()
	sent, failed := 0, 0
	for range replicaCount {
		report := <-reports
		sent, failed = sent+report.Sent, failed+report.Sent-report.Statuses[http.StatusOK]
	}
	return []string{fmt.Sprint(count), fmt.Sprint(edits), milliseconds(median(took)), milliseconds(quantile(took, 0.99)),
		milliseconds(quantile(took, 1)), fmt.Sprint(sent), fmt.Sprint(failed)}, nil
}

// follow makes a namespace, backends and the two texts: service 0 at 0 and at
// 100 %.
func (b *bed) follow(ctx context.Context, control *controlplane.ControlPlane, count int) (f *follower, texts [2]string, err error) {
	f = &follower{}
	config := control.Config()
	config.QPS = -1
	if f.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, texts, err
	}
	if f.namespace, err = control.Namespace(ctx, "bench"); err != nil {
		return nil, texts, err
	}
	old, err := startSide(ctx, "old")
	if err != nil {
		return nil, texts, err
	}
	new, err := startSide(ctx, "new")
	if err != nil {
		return nil, texts, err
	}
	for i, share := range []string{"0", "100"} {
		texts[i] = services{count: count, backends: backends{old: old, new: new}, shares: map[int]string{0: share}}.yaml()
	}
	return f, texts, nil
}

// startSide starts a backend that lives as long as ctx, and gives its port.
func startSide(ctx context.Context, name string) (int, error) {
	backend, err := testbed.Start(testbed.Options{Name: name})
	if err != nil {
		return 0, err
	}
	context.AfterFunc(ctx, backend.Kill)
	var port int
	_, err = fmt.Sscanf(backend.Addr(), "127.0.0.1:%d", &port)
	return port, err
}

func (b *bed) startFollower(ctx context.Context, kubeconfig, namespace string) (*plane, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(b.proxy, "run", "--namespace", namespace, "--access-log", "off")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	return b.run(ctx, &plane{dir: dir}, anywhere, cmd)
}

// load asks all replicas for service 0 until ctx ends, and then gives a report
// for each.
func (f *follower) load(ctx context.Context, planes []*plane) <-chan *testbed.Report {
	reports := make(chan *testbed.Report, len(planes))
	var running sync.WaitGroup
	for _, p := range planes {
		load := testbed.Load{
			URL: "http://" + loopback(p.port), Host: hostOf(0), Connections: 4, Rate: replicaRate, Each: f.saw,
		}
		running.Go(func() {
			report, err := load.Run(ctx)
			if err != nil {
				report = &testbed.Report{Sent: 1} // shows as failed
			}
			reports <- report
		})
	}
	return reports
}

func (f *follower) saw(answer testbed.Answer) {
	last := &f.old
	if answer.Backend == "new" {
		last = &f.new
	}
	last.Store(time.Now().UnixNano())
}

func (f *follower) write(ctx context.Context, text string) error {
	configMaps := f.client.CoreV1().ConfigMaps(f.namespace)
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: text}}
	_, err := configMaps.Update(ctx, wanted, metav1.UpdateOptions{})
	if err != nil {
		_, err = configMaps.Create(ctx, wanted, metav1.CreateOptions{})
	}
	return err
}

// edit writes a text, and gives how long after the API server's answer the
// last request went by the one before.
func (f *follower) edit(ctx context.Context, text string, toNew bool) (time.Duration, error) {
	before, after := &f.new, &f.old
	if toNew {
		before, after = after, before
	}
	if err := f.write(ctx, text); err != nil {
		return 0, err
	}
	accepted := time.Now().UnixNano()
	err := poll(ctx, time.Minute, func() error {
		last := max(before.Load(), accepted)
		if after.Load() <= last || time.Now().UnixNano()-last < int64(unanimous) {
			return errors.New("the edit is not in force everywhere")
		}
		return nil
	})
	return time.Duration(max(0, before.Load()-accepted)), err
}
