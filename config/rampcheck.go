package config

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/migration"
)

// rampKeys is the way to a ramp; append copies it, because its capacity is its length.
var rampKeys = []string{"migration", "ramp"}

// checkRamp refuses a ramp whose values contradict each other.
func checkRamp(v locatedService) {
	if v.Migration.Ramp == nil {
		return
	}
	if s := v.Migration.Strategy; s == migration.StrategyHeader || s == migration.StrategyIP {
		v.problem(rampKeys, "does nothing with strategy %s, which sends no percentage to new; use strategy weight or user_hash, or leave ramp out", s)
	}
	if v.Mode == migration.ModeCanary {
		v.problem(rampKeys, "does not work in mode canary, where the ingress controller splits the traffic and the proxy sees none of old's requests to compare with; use mode proxy, or leave ramp out")
	}
	if v.Migration.Ramp.Parity != nil && (v.Compare == nil || !v.Compare.Continuous) {
		v.problem(append(rampKeys, "parity"), "waits for a comparison that nobody makes; write compare: {continuous: true} on the service, or leave parity out")
	}
	checkSteps(v)
	checkLimits(v, "failures", v.Migration.Ramp.Judge.Failures.Tolerate, v.Migration.Ramp.Judge.Failures.Exclude)
	checkLimits(v, "slow", v.Migration.Ramp.Judge.Slow.Tolerate, v.Migration.Ramp.Judge.Slow.Exclude)
	from, to := find(v.node, "migration", "ramp", "only", "from"), find(v.node, "migration", "ramp", "only", "to")
	if from != nil && to != nil && from.Value == to.Value {
		v.problem(append(rampKeys, "only", "to"), "%s is also from, so the window is empty; write another time, or leave only out", excerpt.Quoted(to.Value))
	}
	if by := find(v.node, "migration", "ramp", "back", "by"); by != nil && v.Migration.Ramp.Back.By == 0 && by.Value == "0" {
		v.problem(append(rampKeys, "back", "by"), "0 would never reach the end; write 0.01 to 100")
	}
}

// checkSteps refuses steps that do not rise.
func checkSteps(v locatedService) {
	list, at := stepsOf(v.node, v.at)
	if list == nil || list.Kind != yaml.SequenceNode {
		return // reported before
	}
	steps := v.Migration.Ramp.Steps
	if len(steps) == 0 && len(list.Content) == 0 {
		v.add(list, at, "has no step; write the shares in percent, like [1, 5, 25, 50, 100]")
	}
	before := migration.Share(0)
	for i, s := range steps {
		item := list.Content[i]
		written := item.Kind == yaml.ScalarNode || child(item, "to") != nil
		if written && s.To <= before && (s.To != 0 || item.Value == "0") {
			v.add(item, at.element(i), "%s is not above %s; the steps rise, and begin above 0", s.To, before)
		}
		before = max(before, s.To)
	}
}

// stepsOf is the list of a service's steps, in the short form of a ramp or in the long one.
func stepsOf(service *yaml.Node, at *place) (*yaml.Node, *place) {
	list, at := find(service, rampKeys...), at.field("migration").field("ramp")
	if list.Kind == yaml.MappingNode {
		return child(list, "steps"), at.field("steps")
	}
	return list, at
}

// Steps finds the steps of ramps in a text.
type Steps struct {
	file     string
	services map[migration.Name]locatedNode
}

type locatedNode struct {
	node *yaml.Node
	at   *place
}

// FindSteps reads a text that loads.
func FindSteps(name string, text []byte) (Steps, error) {
	root, err := parse(name, text)
	if err != nil {
		return Steps{}, err
	}
	found := Steps{name, map[migration.Name]locatedNode{}}
	for i, node := range find(root, "services").Content {
		found.services[migration.Name(find(node, "name").Value)] = locatedNode{node, (*place)(nil).field("services").element(i)}
	}
	return found, nil
}

// At is a remark about a step of a service's ramp.
func (s Steps) At(service migration.Name, step int, remark string) (Problem, error) {
	located, known := s.services[service]
	if !known {
		return Problem{}, fmt.Errorf("%s has no service %s", s.file, service)
	}
	list, at := stepsOf(located.node, located.at)
	found := report{file: s.file}
	found.add(list.Content[step], at.element(step), "%s", remark)
	return found.problems[0], nil
}

// checkLimits refuses limits between which a service would wait for ever.
func checkLimits(v locatedService, name string, tolerate, exclude times) {
	if tolerate != 0 && exclude != 0 && exclude <= tolerate {
		v.problem(append(rampKeys, "judge", name, "exclude"), "%v is not above tolerate, which is %v: a service between the two would be neither good nor bad", exclude, tolerate)
	}
}

// checkOrder refuses names in not_ahead_of that do not exist, and services that wait
// for each other.
func checkOrder(r *report, doc document, nodes *yaml.Node) {
	o := order{after: map[migration.Name][]migration.Name{}, seen: map[migration.Name]bool{}}
	for _, s := range doc.Services {
		if o.after[s.Name] = nil; s.Migration.Ramp != nil {
			o.after[s.Name] = s.Migration.Ramp.NotAheadOf
		}
	}
	at := (*place)(nil).field("services")
	for i, s := range doc.Services {
		list := find(nodes.Content[i], "migration", "ramp", "not_ahead_of")
		if list == nil {
			continue
		}
		place := at.element(i).field("migration").field("ramp").field("not_ahead_of")
		for j, name := range s.Migration.Ramp.NotAheadOf {
			if _, exists := o.after[name]; !exists && name != "" {
				r.add(list.Content[j], place.element(j), "no service is named %s%s", excerpt.Quoted(string(name)), meant(string(name), namesOf(doc)))
			}
		}
		if circle := o.circle(s.Name); circle != nil {
			r.add(list, place, "the services wait for each other: %s; leave one out", strings.Join(circle, " after "))
		}
	}
}

func namesOf(doc document) []string {
	var names []string
	for _, s := range doc.Services {
		names = append(names, string(s.Name))
	}
	return names
}

// order finds services that wait for each other, in time that is proportional to the
// number of names in not_ahead_of.
type order struct {
	after map[migration.Name][]migration.Name
	seen  map[migration.Name]bool
	way   []string // from the service where the search began
}

// circle gives a way from a service to itself that the search meets first; nil if none.
func (o *order) circle(name migration.Name) []string {
	if i := slices.Index(o.way, string(name)); i >= 0 {
		return append(slices.Clone(o.way[i:]), string(name))
	}
	if o.seen[name] {
		return nil
	}
	o.seen[name] = true
	o.way = append(o.way, string(name))
	defer func() { o.way = o.way[:len(o.way)-1] }()
	for _, before := range o.after[name] {
		if found := o.circle(before); found != nil {
			return found
		}
	}
	return nil
}
