package ingressgen_test

import (
	"encoding/json"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// userEdits do the same to the Ingress as the user wrote it and to the
// rewritten one; written is the former, for what kubectl apply puts back.
var userEdits = map[string]func(o, written object, seed int){
	"add a rule before": func(o, _ object, _ int) {
		spec := o["spec"].(object)
		spec["rules"] = append([]any{freshRule("before.example.com")}, list(spec["rules"])...)
	},
	"add a rule after": func(o, _ object, _ int) {
		spec := o["spec"].(object)
		spec["rules"] = append(list(spec["rules"]), freshRule("after.example.com"))
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
	"another annotation": func(o, _ object, _ int) { marks(o)["example.com/new"] = "x" },
	"opt out":            func(o, _ object, _ int) { delete(marks(o), "migration-proxy.io/enabled") },
	"another protocol":   func(o, _ object, _ int) { marks(o)["nginx.ingress.kubernetes.io/backend-protocol"] = "FCGI" },
	"no protocol":        func(o, _ object, _ int) { delete(marks(o), "nginx.ingress.kubernetes.io/backend-protocol") },
}

func freshRule(host string) object {
	return object{"host": host, "http": object{"paths": []any{
		object{"path": "/", "pathType": "Prefix", "backend": object{"service": object{"name": "fresh", "port": object{"number": 1}}}},
	}}}
}

func marks(o object) object { return o["metadata"].(object)["annotations"].(object) }

func list(value any) []any {
	found, _ := value.([]any)
	return found
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

func move(o object, name string) {
	if edit, ok := userEdits[name]; ok {
		edit(o, o, 0)
		return
	}
	for _, rule := range list(o["spec"].(object)["rules"]) {
		if name == "rehost all" {
			rule.(object)["host"] = "other.example.com"
		}
	}
	for _, path := range allPaths(o) {
		switch name {
		case "rename all":
			path["path"] = "/other"
		case "hand made all":
			path["backend"] = object{"service": object{"name": "hand", "port": object{"number": 8080}}}
		}
	}
	if name == "ours is there" {
		marks(o)[ingressgen.AnnotationOriginal] = "{}"
	}
}
