package podrunner

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// probeClient works as the kubelet's: a new connection for each probe, and
// certificates are not checked.
var probeClient = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives: true, Proxy: nil,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the kubelet does the same
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// prober runs the probes of a running container.
type prober struct {
	*podWorker
	container *corev1.Container
	process   *containerProcess
}

// startProbes probes a container until the context ends: first the startup probe, then
// the others. It closes the channel when the container has to be restarted.
func (w *podWorker) startProbes(ctx context.Context, c *corev1.Container, process *containerProcess) <-chan struct{} {
	unhealthy := make(chan struct{})
	watching := prober{podWorker: w, container: c, process: process}
	w.kubelet.all.Go(func() {
		if !watching.runUntilUnhealthy(ctx) && ctx.Err() == nil {
			close(unhealthy)
		}
	})
	return unhealthy
}

// runUntilUnhealthy blocks while the startup or liveness probe runs. It gives false
// when one of them has failed.
func (w prober) runUntilUnhealthy(ctx context.Context) (healthy bool) {
	if !w.runStartupProbe(ctx) {
		return false
	}
	w.status.startedUp(w.container.Name)
	if w.container.ReadinessProbe == nil {
		w.status.ready(w.container.Name, true)
	} else {
		w.kubelet.all.Go(func() { w.runReadinessProbe(ctx) })
	}
	healthy = true
	if w.container.LivenessProbe != nil {
		w.probe(ctx, w.container.LivenessProbe, func(alive bool) bool {
			healthy = alive
			return alive
		})
	}
	return healthy
}

// runStartupProbe blocks until the startup probe has succeeded or failed.
func (w prober) runStartupProbe(ctx context.Context) (started bool) {
	if w.container.StartupProbe == nil {
		return true
	}
	w.probe(ctx, w.container.StartupProbe, func(ok bool) bool {
		started = ok
		return false
	})
	return started
}

func (w prober) runReadinessProbe(ctx context.Context) {
	w.probe(ctx, w.container.ReadinessProbe, func(ready bool) bool {
		w.status.ready(w.container.Name, ready)
		return true
	})
}

// probe runs a probe periodically. It calls report with each result that
// failureThreshold or successThreshold probes in a row agree on, until report gives
// false.
func (w prober) probe(ctx context.Context, p *corev1.Probe, report func(ok bool) (more bool)) {
	pause.For(ctx, time.Duration(p.InitialDelaySeconds)*time.Second)
	var last bool
	var same int32
	for ctx.Err() == nil {
		ok := w.try(ctx, p) == nil
		if ctx.Err() != nil {
			return
		}
		if same++; ok != last {
			last, same = ok, 1
		}
		enough := same == p.FailureThreshold
		if ok {
			enough = same == p.SuccessThreshold
		}
		if enough && !report(ok) {
			return
		}
		pause.For(ctx, time.Duration(p.PeriodSeconds)*time.Second)
	}
}

// try runs a probe once; nil is success.
func (w prober) try(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return w.get(ctx, w.container, p.HTTPGet)
	case p.TCPSocket != nil:
		return w.connect(ctx, w.container, p.TCPSocket)
	case p.Exec != nil:
		return w.process.exec(ctx, p.Exec.Command)
	}
	return errors.New("this kind of probe is not supported")
}

func (w *podWorker) get(ctx context.Context, c *corev1.Container, action *corev1.HTTPGetAction) error {
	address, err := w.endpoint(c, action.Host, action.Port)
	if err != nil {
		return err
	}
	target, err := url.Parse(action.Path)
	if err != nil {
		return err
	}
	target.Scheme, target.Host = "http", address
	if action.Scheme == corev1.URISchemeHTTPS {
		target.Scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/podrunner")
	for _, header := range action.HTTPHeaders {
		request.Header.Set(header.Name, header.Value)
		if http.CanonicalHeaderKey(header.Name) == "Host" {
			request.Host = header.Value
		}
	}
	answer, err := probeClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode >= 400 {
		return fmt.Errorf("%s answered %s", target, answer.Status)
	}
	return nil
}

func (w *podWorker) connect(ctx context.Context, c *corev1.Container, action *corev1.TCPSocketAction) error {
	address, err := w.endpoint(c, action.Host, action.Port)
	if err != nil {
		return err
	}
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// endpoint gives the address of a port, which may be a name or a number.
func (w *podWorker) endpoint(c *corev1.Container, host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = w.sandbox.address.String()
	}
	if port.Type == intstr.Int {
		return net.JoinHostPort(host, strconv.Itoa(port.IntValue())), nil
	}
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return net.JoinHostPort(host, strconv.Itoa(int(p.ContainerPort))), nil
		}
	}
	return "", fmt.Errorf("container %s has no port named %q", c.Name, port.StrVal)
}
