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
)

// prober asks the way the kubelet does: one connection for each question, any
// certificate will do.
var prober = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives: true, Proxy: nil,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as the kubelet
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// watch is one life of a container under its probes.
type watch struct {
	*worker
	container *corev1.Container
	running   *instance
}

// watchOver probes a container until the context ends: first the startup
// probe, then the others. The channel is closed when it must be restarted.
func (w *worker) watchOver(ctx context.Context, c *corev1.Container, running *instance) <-chan struct{} {
	unhealthy := make(chan struct{})
	watching := watch{worker: w, container: c, running: running}
	w.runner.all.Go(func() {
		if !watching.untilUnhealthy(ctx) && ctx.Err() == nil {
			close(unhealthy)
		}
	})
	return unhealthy
}

// untilUnhealthy blocks while there is something to watch for; it is false
// when the startup or the liveness probe has failed.
func (w watch) untilUnhealthy(ctx context.Context) (healthy bool) {
	if !w.startsUp(ctx) {
		return false
	}
	w.report.startedUp(w.container.Name)
	if w.container.ReadinessProbe == nil {
		w.report.ready(w.container.Name, true)
	} else {
		w.runner.all.Go(func() { w.tellReadiness(ctx) })
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

// startsUp blocks until the startup probe has succeeded, or failed for good.
func (w watch) startsUp(ctx context.Context) (started bool) {
	if w.container.StartupProbe == nil {
		return true
	}
	w.probe(ctx, w.container.StartupProbe, func(ok bool) bool {
		started = ok
		return false
	})
	return started
}

func (w watch) tellReadiness(ctx context.Context) {
	w.probe(ctx, w.container.ReadinessProbe, func(ready bool) bool {
		w.report.ready(w.container.Name, ready)
		return true
	})
}

// probe asks again and again and tells each verdict, once failureThreshold or
// successThreshold answers in a row agree on it, until tell says stop.
func (w watch) probe(ctx context.Context, p *corev1.Probe, tell func(ok bool) (more bool)) {
	wait(ctx, time.Duration(p.InitialDelaySeconds)*time.Second)
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
		if enough && !tell(ok) {
			return
		}
		wait(ctx, time.Duration(p.PeriodSeconds)*time.Second)
	}
}

// try probes once; nil is success.
func (w watch) try(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return w.get(ctx, w.container, p.HTTPGet)
	case p.TCPSocket != nil:
		return w.connect(ctx, w.container, p.TCPSocket)
	case p.Exec != nil:
		return w.running.exec(ctx, p.Exec.Command)
	}
	return errors.New("a kind of probe that is not known here")
}

func (w *worker) get(ctx context.Context, c *corev1.Container, action *corev1.HTTPGetAction) error {
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
	answer, err := prober.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode >= 400 {
		return fmt.Errorf("%s answers %s", target, answer.Status)
	}
	return nil
}

func (w *worker) connect(ctx context.Context, c *corev1.Container, action *corev1.TCPSocketAction) error {
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

// endpoint gives the address of a port that is named or numbered.
func (w *worker) endpoint(c *corev1.Container, host string, port intstr.IntOrString) (string, error) {
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
