package main

import (
	"regexp"

	networkingv1 "k8s.io/api/networking/v1"
)

// The annotations of ingress-nginx that make all paths of a host regular expressions.
const (
	rewriteTarget = nginxPrefix + "rewrite-target"
	useRegex      = nginxPrefix + "use-regex"
)

var capture = regexp.MustCompile(`\$(\d)`)

// applyRegex makes the paths of each host patterns if one of its Ingresses has
// rewrite-target or use-regex: "/one" of a neighbor then serves /oneXYZ and /ONE/x.
func (all routes) applyRegex(ingresses []*networkingv1.Ingress) {
	targets, hosts := map[string]string{}, map[string]bool{}
	for _, ingress := range ingresses {
		target := ingress.Annotations[rewriteTarget]
		if target == "" && ingress.Annotations[useRegex] != "true" {
			continue
		}
		targets[ingress.Namespace+"/"+ingress.Name] = capture.ReplaceAllString(target, "$${$1}")
		for _, rule := range ingress.Spec.Rules {
			hosts[rule.Host] = true
		}
	}
	for host := range hosts {
		for _, one := range all[host] {
			if pattern, err := regexp.Compile("(?i)^" + one.path); err == nil && !one.last {
				one.pattern, one.rewrite = pattern, targets[one.ingress]
			}
		}
	}
}
