package ingressgen_test

import (
	"encoding/json"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// userEdits change an Ingress o, rewritten or not. written is the Ingress as the
// user wrote it, for what kubectl apply puts back.
var userEdits = map[string]func(o, written object, seed int){
	"add a rule before": func(o, _ object, _ int) {
		spec := o["spec"].(object)
		spec["rules"] = append([]any{newRule("before.example.com")}, list(spec["rules"])...)
	},
	"add a rule after": func(o, _ object, _ int) {
		spec := o["spec"].(object)
		spec["rules"] = append(list(spec["rules"]), newRule("after.example.com"))
	},
	"reverse the rules": func(o, _ object, _ int) {
		spec := o["spec"].(object)
		rules := list(spec["rules"])
		var reversed []any
		for i := range rules {
			reversed = append(reversed, rules[len(rules)-1-i])
		}
		spec["rules"] = reversed
	},
	"reset by apply": func(o, written object, _ int) {
		copied := map[string]any{}
		text, _ := json.Marshal(written["spec"])
		_ = json.Unmarshal(text, &copied)
		o["spec"] = copied
	},
	"rename a path": func(o, _ object, seed int) {
		if all := allPaths(o); len(all) > 0 {
			all[seed%len(all)]["path"] = "/renamed"
		}
	},
	"another backend by hand": func(o, _ object, seed int) {
		if all := allPaths(o); len(all) > 0 {
			all[seed%len(all)]["backend"] = object{"service": object{"name": "hand", "port": object{"name": "made"}}}
		}
	},
	"remove a path": func(o, _ object, seed int) {
		rules := list(o["spec"].(object)["rules"])
		if len(rules) > 0 {
			delete(rules[seed%len(rules)].(object), "http")
		}
	},
	"another annotation": func(o, _ object, _ int) { annotationsOf(o)["example.com/new"] = "x" },
	"opt out":            func(o, _ object, _ int) { delete(annotationsOf(o), "migration-proxy.io/enabled") },
	"another protocol":   func(o, _ object, _ int) { annotationsOf(o)["nginx.ingress.kubernetes.io/backend-protocol"] = "FCGI" },
	"no protocol":        func(o, _ object, _ int) { delete(annotationsOf(o), "nginx.ingress.kubernetes.io/backend-protocol") },
}

func newRule(host string) object {
	return object{"host": host, "http": object{"paths": []any{
		object{"path": "/", "pathType": "Prefix", "backend": object{"service": object{"name": "added", "port": object{"number": 1}}}},
	}}}
}

func annotationsOf(o object) object { return o["metadata"].(object)["annotations"].(object) }

func list(value any) []any {
	elements, _ := value.([]any)
	return elements
}

func allPaths(o object) []object {
	var all []object
	for _, rule := range list(o["spec"].(object)["rules"]) {
		if http, ok := rule.(object)["http"].(object); ok {
			for _, path := range list(http["paths"]) {
				all = append(all, path.(object))
			}
		}
	}
	return all
}

// changeRewritten changes a value that the edits of a rewrite rely on.
func changeRewritten(o object, name string) {
	if edit, ok := userEdits[name]; ok {
		edit(o, o, 0)
		return
	}
	for _, rule := range list(o["spec"].(object)["rules"]) {
		if name == "rename all hosts" {
			rule.(object)["host"] = "other.example.com"
		}
	}
	for _, path := range allPaths(o) {
		switch name {
		case "rename all paths":
			path["path"] = "/other"
		case "replace all backends":
			path["backend"] = object{"service": object{"name": "hand", "port": object{"number": 8080}}}
		}
	}
	if name == "add annotation original" {
		annotationsOf(o)[ingressgen.AnnotationOriginal] = "{}"
	}
}
