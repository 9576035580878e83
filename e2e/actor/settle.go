package main

import "time"

// settleTime is how long the second of workers and balancer is behind the first one.
// ingress-nginx's workers read the list of upstreams once a second.
const settleTime = time.Second

// stages gives the models that a persona serves one after the other, settleTime apart, on
// its way from one model to the next. When routes change and upstreams are late, the first
// stage is half of the change: if listFirst, the balancer has the new upstreams and the
// workers still the old routes (a 503 for an outgoing upstream), otherwise the workers have
// the new routes and the balancer the old upstreams (a 503 for an incoming one).
func (p persona) stages(before, after *model, listFirst bool) []*model {
	if before == nil || !p.lateUpstreams || before.text == after.text {
		return []*model{after}
	}
	half := &model{routes: after.routes, text: after.text, upstreams: before.upstreams}
	if listFirst {
		half = &model{routes: before.routes, text: before.text, upstreams: after.upstreams}
	}
	return []*model{half, after}
}

// reloadsFor tells whether the change from one model to the next ends kept connections.
func (p persona) reloadsFor(before, after *model) bool {
	return p.reloads && before != nil && before.text != after.text
}
