package scan

import (
	"cmp"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// count fills Totals and Controllers.
func (r *Result) count() {
	r.Totals = Totals{Ingresses: map[Verdict]int{}, Paths: map[Verdict]int{}}
	controllers := map[string]int{}
	for _, ingress := range r.Ingresses {
		r.Totals.add(ingress)
		controllers[ingress.Controller]++
	}
	r.Totals.ReadyPercent = r.Totals.readyPercent()
	for _, name := range sortedKeys(controllers) {
		r.Controllers = append(r.Controllers, Controller{name, controllers[name]})
	}
}

func (t *Totals) add(ingress Ingress) {
	t.Ingresses[ingress.Verdict]++
	if ingress.Canary {
		t.Canaries++
	}
	if ingress.Solver {
		t.ACMESolvers++
	}
	for _, path := range ingress.Paths {
		t.Paths[path.Verdict]++
		if path.Host == "" {
			t.WithoutHost++
		}
	}
}

func (t *Totals) readyPercent() int {
	migrates, all := 0, 0
	for verdict, n := range t.Paths {
		if verdict != Skipped {
			all += n
		}
		if verdict.Migrates() {
			migrates += n
		}
	}
	if all == 0 {
		return 100
	}
	return 100 * migrates / all
}

// sharedTargets are the Services and ports that more than one Ingress points at.
func sharedTargets(x *index) []SharedTarget {
	var all []SharedTarget
	for _, key := range sortedKeys(x.users) {
		users := slices.DeleteFunc(slices.Clone(x.users[key]), ingressgen.IsCanary)
		if len(users) > 1 {
			all = append(all, sharedTarget(key[len(users[0].Namespace)+1:], users))
		}
	}
	slices.SortStableFunc(all, func(a, b SharedTarget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Backend, b.Backend))
	})
	return all
}

func sharedTarget(backend string, users []*networkingv1.Ingress) SharedTarget {
	shared := SharedTarget{Namespace: users[0].Namespace, Backend: backend}
	for _, ingress := range users {
		shared.Ingresses = append(shared.Ingresses, ingress.Name)
	}
	slices.Sort(shared.Ingresses)
	return shared
}
