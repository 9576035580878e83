package ingressgen

import (
	"cmp"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// The codes of checks after which there is nothing that its user should mend.
const (
	CodeSolver    = "IsSolver"      // the Ingress answers an ACME challenge
	CodeChallenge = "ACMEChallenge" // the path does
	// CodeService is for a path whose service is not migrated in this Ingress.
	CodeService = "ServiceBypassed"
)

// Examination is a Report with what is decided about each path.
type Examination struct {
	Report
	Code  string            // of the check that leaves the whole Ingress as it is; "" is none
	Paths []PathExamination // of all rules, in their order
}

// Change is what an annotation changes for the requests of a service that migrates.
type Change struct {
	Class Class // Adjusted or Warned
	Text  string
}

// PathExamination is what is decided about one path.
type PathExamination struct {
	Host, Path string
	Backend    *networkingv1.IngressServiceBackend // as the user wrote it; nil for a resource, or when it is lost
	Service    migration.Name                      // the service that the path belongs to, or ""
	Mode       migration.Mode                      // how it is migrated; "" without a service
	// Migrates tells whether its requests reach the proxy, now or when the watcher has
	// prepared the Services.
	Migrates bool
	Code     string   // of the check that leaves it as it is; "" if it migrates
	Reason   string   // why it is left; "" if it migrates, or there is nothing to tell
	Changes  []Change // what changes for its requests, if it migrates
}

// Examine decides as Rewrite does, and tells more about it.
func Examine(ingress *networkingv1.Ingress, view View) Examination {
	r := decide(ingress, view)
	found := Examination{Report: r.report, Code: r.code}
	if r.paths == nil {
		r.paths = listPaths(ingress)
	}
	for i := range r.paths {
		found.Paths = append(found.Paths, r.examined(&r.paths[i]))
	}
	return found
}

func (r *rewriter) examined(p *ingressPath) PathExamination {
	path := PathExamination{Host: p.host, Path: p.spec.Path, Backend: p.userBackend, Mode: p.mode, Code: p.code, Reason: p.reason}
	switch {
	case p.service == nil:
		path.Code, path.Reason = cmp.Or(path.Code, r.code), cmp.Or(path.Reason, r.reasonOfWhole())
	case r.isMigrating(p.service):
		path.Service, path.Migrates, path.Changes = p.service.Name, true, r.changes[p.service.Name]
	default:
		path.Service, path.Code, path.Reason = p.service.Name, CodeService, r.states[p.service.Name].reason
	}
	return path
}

// reasonOfWhole is why the whole Ingress is left as it is; "" if it is not.
func (r *rewriter) reasonOfWhole() string {
	if r.code == "" {
		return ""
	}
	return r.report.Reason
}
