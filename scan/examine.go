package scan

import (
	"cmp"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// examiner decides about the Ingresses of one scan.
type examiner struct {
	objects Objects
	index   *index
	table   *migration.Table
	state   status.Cluster
}

// Examine tells what would become of each Ingress if its user opted it in now, with
// this table in force and a proxy that serves all of it. Sources are the files of
// Ingresses, by their index; nil for a cluster.
func Examine(objects Objects, table *migration.Table, sources map[int]string) Result {
	e := examiner{objects: objects, index: newIndex(objects), table: table, state: allServed(table)}
	var result Result
	for i, ingress := range objects.Ingresses {
		if !isOurs(ingress) {
			found := e.examine(ingress)
			found.Source = sources[i]
			result.Ingresses = append(result.Ingresses, found)
		}
	}
	slices.SortFunc(result.Ingresses, func(a, b Ingress) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	result.Shared = sharedTargets(e.index)
	result.count()
	return result
}

// allServed is the state of a cluster in which a replica serves each service.
func allServed(table *migration.Table) status.Cluster {
	state := status.Cluster{Services: map[string]status.ClusterService{}}
	for _, s := range table.Services() {
		state.Services[string(s.Name)] = status.ClusterService{
			Host: string(s.OldHost), PathPrefix: string(s.PathPrefix), Phase: status.Migrating,
		}
	}
	return state
}

func (e *examiner) examine(ingress *networkingv1.Ingress) Ingress {
	optedIn := asOptedIn(ingress)
	admission := ingressgen.Examine(optedIn, e.admissionView(ingress))
	watcher := ingressgen.Examine(optedIn, e.watcherView(optedIn))
	found := Ingress{
		Namespace: ingress.Namespace, Name: ingress.Name,
		Class: ingressgen.ClassNameOf(ingress).Name, Controller: ingressgen.ControllerOf(ingress, e.objects.Classes),
		OptedIn: ingressgen.OptedIn(ingress), Canary: ingressgen.IsCanary(ingress), Solver: admission.Code == ingressgen.CodeSolver,
		Verdict: Skipped, Warnings: admission.Warnings,
	}
	for i := range admission.Paths {
		path := verdictOn(admission.Paths[i], watcher.Paths[i])
		found.Paths = append(found.Paths, path)
		found.Verdict = worse(found.Verdict, path.Verdict)
	}
	if len(found.Paths) == 0 && !found.Solver {
		found.Verdict = Refused
	}
	if found.Verdict == Refused {
		found.Reason = admission.Reason
	}
	return found
}

// asOptedIn is the Ingress as its user would write it to opt it in.
func asOptedIn(ingress *networkingv1.Ingress) *networkingv1.Ingress {
	copied := *ingress
	copied.Annotations = maps.Clone(ingress.Annotations)
	if copied.Annotations == nil {
		copied.Annotations = map[string]string{}
	}
	copied.Annotations[ingressgen.AnnotationEnabled] = "true"
	return &copied
}

// admissionView is what the webhook knows.
func (e *examiner) admissionView(stored *networkingv1.Ingress) ingressgen.View {
	return ingressgen.View{
		Table: e.table, State: e.state, Admission: &ingressgen.Admission{Stored: stored},
		Ports: ports{services: e.objects.Services, namespace: stored.Namespace, admission: true},
	}
}

// watcherView is what the watcher knows: also the other Ingresses and the classes.
func (e *examiner) watcherView(ingress *networkingv1.Ingress) ingressgen.View {
	return ingressgen.View{
		Table: e.table, State: e.state, Controller: ingressgen.ControllerOf(ingress, e.objects.Classes),
		Neighbors: neighbors{e.index, ingress}, Ports: ports{services: e.objects.Services, namespace: ingress.Namespace},
	}
}

// verdictOn is the verdict on a path about which both have decided.
func verdictOn(admission, watcher ingressgen.PathExamination) Path {
	path := Path{Host: watcher.Host, Path: watcher.Path, Service: watcher.Service, Mode: watcher.Mode, Code: cmp.Or(admission.Code, watcher.Code)}
	if watcher.Backend != nil {
		path.Backend = portOf(*watcher.Backend)
	}
	switch {
	case path.Code == ingressgen.CodeChallenge || path.Code == ingressgen.CodeSolver:
		path.Verdict, path.Reasons = Skipped, []string{"it answers an ACME challenge, which must reach cert-manager"}
	case !admission.Migrates:
		path.Verdict, path.Reasons = Refused, []string{admission.Reason}
	case !watcher.Migrates:
		path.Verdict, path.Reasons = Held, []string{watcher.Reason}
	default:
		path.Verdict = Ready
		for _, change := range watcher.Changes {
			path.Verdict = worse(path.Verdict, verdictOf[change.Class])
			path.Reasons = append(path.Reasons, change.Text)
		}
	}
	return path
}

var verdictOf = map[ingressgen.Class]Verdict{ingressgen.Adjusted: Adjusted, ingressgen.Warned: Warned}

func worse(a, b Verdict) Verdict {
	if b.AtLeast(a) {
		return b
	}
	return a
}
