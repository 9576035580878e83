package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
)

// The annotations of ingress-nginx that make an Ingress a canary.
const (
	nginxPrefix    = "nginx.ingress.kubernetes.io/"
	canaryEnabled  = nginxPrefix + "canary"
	canaryWeight   = nginxPrefix + "canary-weight"
	canaryTotal    = nginxPrefix + "canary-weight-total"
	canaryByHeader = nginxPrefix + "canary-by-header"
	canaryValue    = nginxPrefix + "canary-by-header-value"
	canaryPattern  = nginxPrefix + "canary-by-header-pattern"
)

// canary says which part of the requests of an upstream its canary gets.
type canary struct {
	header  string         // "" is none
	value   string         // wins over the pattern
	pattern *regexp.Regexp // nil is none
	weight  int
	total   int
}

func isCanary(ingress *networkingv1.Ingress) bool {
	return ingress.Annotations[canaryEnabled] == "true"
}

// newCanary reads the annotations. Invalid values are ignored.
func newCanary(annotations map[string]string) *canary {
	made := &canary{header: annotations[canaryByHeader], value: annotations[canaryValue], total: 100}
	if text := annotations[canaryPattern]; text != "" && made.value == "" {
		made.pattern, _ = regexp.Compile(text)
	}
	made.weight, _ = strconv.Atoi(annotations[canaryWeight])
	if total, err := strconv.Atoi(annotations[canaryTotal]); err == nil && total > 100 {
		made.total = total
	}
	return made
}

// takes decides as ingress-nginx documents it: the header first, then a random number
// and the weight.
func (c *canary) takes(header http.Header) bool {
	if c.header != "" {
		got := header.Get(c.header)
		switch {
		case c.value != "":
			if got == c.value {
				return true
			}
		case c.pattern != nil:
			if got != "" && c.pattern.MatchString(got) {
				return true
			}
		case got == "always":
			return true
		case got == "never":
			return false
		}
	}
	return rand.IntN(c.total) < c.weight
}

func (c *canary) String() string {
	return fmt.Sprintf("%s=%s%v %d/%d", c.header, c.value, c.pattern, c.weight, c.total)
}
