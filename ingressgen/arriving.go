package ingressgen

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Annotations of ingress-nginx that change which path the proxy gets.
const (
	annotationRewrite  = nginx + "rewrite-target"
	annotationUseRegex = nginx + "use-regex"
)

// arriving is what is known about the paths of the requests that the controller
// sends for one path of the Ingress, if rewrite-target or use-regex decides it.
//
//	path              rewrite-target  text     exact
//	/api(/|$)(.*)     /v1/$2          /v1/     false
//	/api              /               /        true
//	/api/[0-9]+                       /api/    false
type arriving struct {
	text    string // how they begin
	exact   bool   // they are the text
	anyCase bool   // letters of the text may arrive in upper or lower case
}

// String describes the paths in a reason.
func (a arriving) String() string {
	switch {
	case a.exact:
		return "the path " + a.text
	case a.anyCase:
		return "paths that begin with " + a.text + ", in upper or lower case"
	}
	return "paths that begin with " + a.text
}

// arrivingOf is false for a path that arrives as the client sent it and as the
// path type says. ingress-nginx writes `rewrite "(?i)PATH" TARGET break`, and
// nothing if the two are equal.
func (r *rewriter) arrivingOf(p *ingressPath) (arriving, bool) {
	target, regex := rewriteOf(r.ingress)
	switch {
	case isURL(target), target == "" && !regex:
		return arriving{}, false
	case target == "" || target == p.spec.Path:
		return arriving{text: rooted(literalOf(p.spec.Path)), anyCase: true}, true
	}
	path, _, _ := strings.Cut(target, "?")
	text, _, variable := strings.Cut(path, "$")
	return arriving{text: rooted(text), exact: !variable}, true
}

// loosens tells whether the Ingress makes ingress-nginx compare the paths of its hosts
// as regular expressions.
func loosens(ingress *networkingv1.Ingress) bool {
	target, regex := rewriteOf(ingress)
	return target != "" || regex
}

// rewriteOf gives rewrite-target, and whether use-regex is set.
func rewriteOf(ingress *networkingv1.Ingress) (target string, regex bool) {
	return strings.TrimSpace(ingress.Annotations[annotationRewrite]), isTrueIn(ingress, annotationUseRegex)
}

// isURL tells whether a rewrite-target makes the controller answer with a redirect,
// as nginx does for these beginnings.
func isURL(target string) bool {
	for _, scheme := range []string{"http://", "https://", "$scheme"} {
		if strings.HasPrefix(target, scheme) {
			return true
		}
	}
	return false
}

func rooted(text string) string {
	if text == "" {
		return "/"
	}
	return text
}

// literalOf gives the text that all matches of a regular expression begin with.
func literalOf(expression string) string {
	if hasAlternatives(expression) {
		return ""
	}
	var text []byte
	for i := 0; i < len(expression); i++ {
		c := expression[i]
		switch {
		case strings.IndexByte("*?{+", c) >= 0: // the character before may be missing
			return string(text[:max(0, len(text)-1)])
		case c == '\\' && i+1 < len(expression) && isPunctuation(expression[i+1]):
			i++
			c = expression[i]
		case strings.IndexByte(`\.[(^$|)`, c) >= 0:
			return string(text)
		}
		text = append(text, c)
	}
	return string(text)
}

func isPunctuation(c byte) bool {
	return c > ' ' && c < 0x7f && c != '_' && !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
}

// hasAlternatives finds a | outside of all brackets. Brackets that are escaped or in
// a class count as well: then a | may be found that is none, and the text is "".
func hasAlternatives(expression string) bool {
	depth := 0
	for _, c := range expression {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth <= 0:
			return true
		}
	}
	return false
}

// receivers gives the services that the proxy would route some of the arriving
// requests to, the one of the text first; nil where no service has them all.
func (r *rewriter) receivers(host string, a arriving) []*migration.Service {
	var found []*migration.Service
	for _, probe := range a.probes() {
		service := r.routeLoosely(host, probe)
		if service == nil {
			return nil
		}
		found = append(found, service)
	}
	for _, s := range r.servicesOfHost(host) {
		if !a.exact && migration.PathPrefix(a.text).MatchesLoosely(string(s.PathPrefix)) {
			found = append(found, s)
		}
	}
	return found
}

// probes are paths of which at least one belongs to each service that some of the
// arriving requests belong to, but for services with a longer path_prefix.
func (a arriving) probes() []string {
	probes := []string{a.text}
	if !a.exact {
		probes = append(probes, a.text+"/", a.text+"~")
	}
	if a.anyCase {
		for _, text := range []string{strings.ToLower(a.text), strings.ToUpper(a.text)} {
			probes = append(probes, text, text+"/", text+"~")
		}
	}
	return probes
}

// routeLoosely is route with the whole of Table.Route.
func (r *rewriter) routeLoosely(host, path string) *migration.Service {
	normal, ok := migration.NormalizePath(path)
	if r.view.Table == nil || host == "" || !ok {
		return nil
	}
	return ofHost(r.view.Table.Route(host, normal), host)
}
