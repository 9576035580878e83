package installation

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The resources that commands read and write, as RBAC and kubectl call them.
const (
	ConfigMaps     = "configmaps"
	Services       = "services"
	Ingresses      = "ingresses.networking.k8s.io"
	EndpointSlices = "endpointslices.discovery.k8s.io"
)

// Right is the permission that a request to the API server needs.
type Right struct {
	Verb, Resource string
	Namespace      string // "" is all namespaces
}

// forbidden matches RBAC's message. Admission also answers Forbidden, with
// other messages.
var forbidden = regexp.MustCompile(`User "([^"]+)" cannot `)

// Explain adds to the error of a request what was being done. When RBAC refuses
// the request, the result is a MissingRightError.
func (r Right) Explain(err error) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fmt.Errorf("namespace %s is still ending, and nothing can be made in it: wait with 'kubectl wait --for=delete namespace/%[1]s', "+
			"then 'kubectl create namespace %[1]s', and run it again: %w", r.Namespace, err)
	}
	match := forbidden.FindStringSubmatch(err.Error())
	if match == nil || !apierrors.IsForbidden(err) {
		return fmt.Errorf("%s %s in %s: %w", r.Verb, r.Resource, r.scope(), err)
	}
	return MissingRightError{right: r, user: match[1]}
}

func (r Right) scope() string {
	if r.Namespace == "" {
		return "all namespaces"
	}
	return "namespace " + r.Namespace
}

// MissingRightError says that RBAC does not allow a request, and which kubectl
// commands allow it. The same request fails again until somebody runs them.
type MissingRightError struct {
	right Right
	user  string
}

// Error is one line on what is missing and two commands.
func (e MissingRightError) Error() string {
	r := e.right
	kind, scope := "role", " --namespace "+r.Namespace
	if r.Namespace == "" {
		kind, scope = "clusterrole", ""
	}
	role := "migration-" + r.Verb + "-" + strings.NewReplacer("/", "-", ".", "-").Replace(r.Resource)
	return fmt.Sprintf("%s may not %s %s in %s; an administrator of the cluster grants it with\n"+
		"  kubectl create %s %s%s --verb=%s --resource=%s\n"+
		"  kubectl create %sbinding %s%s --%s=%s --user=%s",
		e.user, r.Verb, r.Resource, r.scope(),
		kind, role, scope, r.Verb, r.Resource,
		kind, role, scope, kind, role, e.user)
}
