package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// part is one part of an installation.
type part struct {
	name string
	// works asks the part; the text says what was seen.
	works func(context.Context, *installation.Installation) (string, error)
}

var parts = []part{
	{"replicas", replicas},
	{"watcher", watcher},
	{"admission", admission},
}

// Run asks one part after the other, each until it works or the time is over.
func Run(ctx context.Context, w io.Writer, in *installation.Installation, pace waiting.Pace) error {
	for _, p := range parts {
		asked := &condition{part: p, in: in}
		if err := waiting.Until(ctx, asked, pace); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if _, err := fmt.Fprintf(w, "%-10s %s\n", p.name, asked.seen); err != nil {
			return err
		}
	}
	return nil
}

type condition struct {
	part
	in   *installation.Installation
	seen string
}

// Check implements waiting.Condition.
func (c *condition) Check(ctx context.Context) (err error) {
	c.seen, err = c.works(ctx, c.in)
	return err
}

// replicas wants each replica ready, with the config of the ConfigMap in force.
func replicas(ctx context.Context, in *installation.Installation) (string, error) {
	now, err := clusterstatus.Read(ctx, in)
	if err != nil {
		return "", err
	}
	if len(now.Config.Problems) > 0 {
		return "", fmt.Errorf("the config is not valid: %s", strings.Join(now.Config.Problems, "; "))
	}
	if len(now.Replicas) == 0 {
		return "", fmt.Errorf("there is none; 'kubectl get pods --namespace %s' tells more", in.Namespace)
	}
	for _, replica := range now.Replicas {
		switch {
		case replica.Error != "":
			return "", errors.New(replica.Error)
		case !replica.Ready:
			return "", fmt.Errorf("%s is not ready", replica.Pod)
		case !replica.InSync:
			return "", fmt.Errorf("%s does not serve the newest config: 'migration-proxy status' tells why", replica.Pod)
		}
	}
	return fmt.Sprintf("%d ready, and all serve %s of %s", len(now.Replicas), now.Config.Digest, now.Config.Source), nil
}

// watcher wants the state of each service of the config recorded.
func watcher(ctx context.Context, in *installation.Installation) (string, error) {
	table, err := in.Table(ctx)
	if err != nil {
		return "", err
	}
	state, err := in.State(ctx)
	if err != nil {
		return "", err
	}
	if state.Paused != "" {
		return "", waiting.FinalError{Cause: fmt.Errorf("the migration is paused: %s", state.Paused)}
	}
	services := table.Services()
	for i := range services {
		if _, known := state.Services[string(services[i].Name)]; !known {
			return "", fmt.Errorf("ConfigMap %s/%s has no state of service %s", in.Namespace, names.StateMap, services[i].Name)
		}
	}
	return fmt.Sprintf("knows the state of all %d services", len(services)), nil
}

// unloadable is a config that no version of the program loads.
const unloadable = `{"data":{"` + names.ConfigKey + `":"this is no migration config"}}`

// refusal is in the API server's answer when our webhook has refused the config. One that
// the API server cannot reach, or does not trust, has another answer.
const refusal = `admission webhook "config.` + names.Group + `" denied the request`

// admission tries to write a config that does not load. The API server calls the webhook
// for it, through the Service and with the CA of the webhook's configuration. As a dry run
// it changes nothing, whatever the answer is.
func admission(ctx context.Context, in *installation.Installation) (string, error) {
	_, err := in.CoreV1().ConfigMaps(in.Namespace).Patch(ctx, names.ConfigMap, types.MergePatchType, []byte(unloadable),
		metav1.PatchOptions{FieldManager: names.Manager, DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil:
		return "", fmt.Errorf("the API server would take a config that does not load: it does not ask the webhook; "+
			"'kubectl get validatingwebhookconfiguration %s' tells more", names.Webhook)
	case strings.Contains(err.Error(), refusal):
		return "the API server asked the webhook, which refused a config that does not load", nil
	case apierrors.IsForbidden(err):
		return "", installation.Right{Verb: "patch", Resource: installation.ConfigMaps, Namespace: in.Namespace}.Explain(err)
	}
	return "", fmt.Errorf("the API server cannot ask the webhook: %w", err)
}
