package scan

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// corpus are Ingresses as people write them, made from tables of what they vary: each
// annotation of ingress-nginx, protocols, paths, rewrites, hosts, backends, classes,
// canaries, challenges of cert-manager, and what shares a host or a Service.
type corpus struct {
	apps, other string // namespaces
	ingresses   []*networkingv1.Ingress
}

const nginxPrefix = "nginx.ingress.kubernetes.io/"

func newCorpus(apps, other string) []*networkingv1.Ingress {
	c := &corpus{apps: apps, other: other}
	for _, part := range []func(){
		c.annotations, c.protocols, c.paths, c.pairs, c.rewrites, c.hosts, c.canaries, c.challenges,
		c.ownAnnotations, c.backends, c.large, c.neighbors, c.charts,
	} {
		part()
	}
	return c.ingresses
}

// corpusServices are the Services of a namespace of the corpus.
func corpusServices() []*corev1.Service {
	services := []*corev1.Service{}
	for _, name := range []string{"app", "second", "third", "lonely", "mine"} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
		service.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "metrics", Port: 9090}, {Name: "tls", Port: 443}}
		services = append(services, service)
	}
	for name, target := range map[string]int{"external": 80, "external-moved": 8080} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
		service.Spec.Type, service.Spec.ExternalName = corev1.ServiceTypeExternalName, "old.example.org"
		service.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt(target)}}
		services = append(services, service)
	}
	return services
}

// classNames are those of real installations; "" is none. The first two exist.
var classNames = []string{"nginx", "traefik", "missing", ""}

func corpusClasses() []*networkingv1.IngressClass {
	controllers := map[string]string{"nginx": ingressgen.ControllerNginx, "traefik": "traefik.io/ingress-controller"}
	var classes []*networkingv1.IngressClass
	for name, controller := range controllers {
		classes = append(classes, &networkingv1.IngressClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller},
		})
	}
	return classes
}

// one is a path of the corpus.
type one struct {
	host, path, backend string // backend is SERVICE:PORT; "" is a resource
	exact, specific     bool
}

func (o one) spec() networkingv1.HTTPIngressPath {
	path := networkingv1.HTTPIngressPath{Path: o.path, PathType: new(networkingv1.PathTypePrefix)}
	switch {
	case o.exact:
		path.PathType = new(networkingv1.PathTypeExact)
	case o.specific:
		path.PathType = new(networkingv1.PathTypeImplementationSpecific)
	}
	path.Backend = backendOf(o.backend)
	return path
}

func backendOf(text string) networkingv1.IngressBackend {
	name, port, found := strings.Cut(text, ":")
	if !found {
		return networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{APIGroup: new("k8s.example.com"), Kind: "Bucket", Name: "static"}}
	}
	service := &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Name: port}}
	if number := intstr.Parse(port); number.Type == intstr.Int {
		service.Port = networkingv1.ServiceBackendPort{Number: number.IntVal}
	}
	return networkingv1.IngressBackend{Service: service}
}

// add makes an Ingress of class nginx with a rule for each path. A host "@" is one of
// its own.
func (c *corpus) add(name string, annotations map[string]string, paths ...one) *networkingv1.Ingress {
	number := len(c.ingresses)
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("c%03d-%s", number, name), Namespace: c.apps, Annotations: annotations,
	}}
	ingress.Spec.IngressClassName = new("nginx")
	for _, path := range paths {
		host := strings.Replace(path.host, "@", fmt.Sprintf("h%03d.example.com", number), 1)
		if last := len(ingress.Spec.Rules) - 1; last >= 0 && ingress.Spec.Rules[last].Host == host {
			http := ingress.Spec.Rules[last].HTTP
			http.Paths = append(http.Paths, path.spec())
			continue
		}
		rule := networkingv1.IngressRule{Host: host}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path.spec()}}
		ingress.Spec.Rules = append(ingress.Spec.Rules, rule)
	}
	c.ingresses = append(c.ingresses, ingress)
	return ingress
}

func (c *corpus) setClass(ingress *networkingv1.Ingress, class string) {
	ingress.Spec.IngressClassName = &class
	if class == "" {
		ingress.Spec.IngressClassName = nil
	}
}

func root(backend string) one { return one{host: "@", path: "/", backend: backend} }

// with is annotations of ingress-nginx, as name, value, name, value.
func with(pairs ...string) map[string]string {
	annotations := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if !strings.Contains(name, "/") {
			name = nginxPrefix + name
		}
		annotations[name] = pairs[i+1]
	}
	return annotations
}

// annotations: every one of the catalog, with a value that does something.
func (c *corpus) annotations() {
	values := map[string]string{
		"backend-protocol": "HTTPS", "proxy-body-size": "50m", "proxy-buffer-size": "64k", "proxy-read-timeout": "3600",
		"proxy-send-timeout": "3600", "rewrite-target": "https://elsewhere.example.com/", "affinity": "cookie",
	}
	for _, annotation := range ingressgen.Catalog() {
		value := values[annotation.Name]
		if value == "" {
			value = "true"
		}
		c.add(annotation.Name, with(annotation.Name, value), root("app:80"))
	}
	c.add("unknown", with("made-up", "1"), root("app:80"))
	c.add("harmless", with("proxy-body-size", "", "proxy-read-timeout", "30", "ssl-passthrough", "false"), root("app:80"))
}

func (c *corpus) protocols() {
	for i, value := range []string{"HTTP", "HTTPS", "GRPC", "GRPCS", "AUTO_HTTP", "FCGI", "https"} {
		backend := func(name string) string { return fmt.Sprintf("%s-%d:80", name, i) } // gRPC must not share one
		c.add("protocol", with("backend-protocol", value), root(backend("speaks")))
		c.add("protocol-two", with("backend-protocol", value), one{host: "@", path: "/", backend: backend("one")}, one{host: "@", path: "/api", backend: backend("two")})
		c.add("protocol-default", with("backend-protocol", value), root(backend("main"))).Spec.DefaultBackend = new(backendOf("third:80"))
	}
	c.add("grpc-shared", with("backend-protocol", "GRPC"), root("shared:80"))
	c.add("http-shared", nil, root("shared:80"))
	for _, name := range []string{"haproxy-ingress.github.io/backend-protocol", "ingress.kubernetes.io/backend-protocol", "haproxy.org/server-proto"} {
		for _, value := range []string{"h1", "h2", "h1-ssl", "grpcs"} {
			c.setClass(c.add("foreign", map[string]string{name: value}, root("app:80")), "traefik")
		}
	}
}

func (c *corpus) paths() {
	for _, path := range []string{"/", "/api", "/api/", "/api/v1", "/API", "/a.b_c~d", "/a%20b", "/x/../y", "/.well-known/acme-challenge/token"} {
		for _, kind := range []one{{}, {exact: true}, {specific: true}} {
			if kind.exact && strings.Contains(path, "..") || !kind.specific && strings.Contains(path, "..") {
				continue // the API server refuses them
			}
			kind.host, kind.path, kind.backend = "@", path, "app:80"
			c.add("path", nil, kind)
		}
	}
	c.add("path-empty", nil, one{host: "@", backend: "app:80", specific: true})
}

// pairs: two paths of one host, at one or two backends.
func (c *corpus) pairs() {
	for _, path := range []string{"/api"} {
		for _, backend := range []string{"app:80", "second:80", "app:http", ""} {
			for _, kind := range []one{{}, {exact: true}, {specific: true}} {
				kind.host, kind.path, kind.backend = "@", path, backend
				c.add("pair", nil, one{host: "@", path: "/", backend: "app:80"}, kind)
				c.add("pair-rootless", nil, one{host: "@", path: "/web", backend: "app:80"}, kind)
			}
		}
	}
}

func (c *corpus) rewrites() {
	for _, target := range []string{"", "/", "/$2", "/v1/$2"} {
		for _, regex := range []string{"true", ""} {
			for _, path := range []string{"/api(/|$)(.*)", "/(.*)", "/api", "/v[0-9]+/items"} {
				first := one{host: "@", path: path, backend: "app:80", specific: true}
				second := one{host: "@", path: "/second(/|$)(.*)", backend: "second:80", specific: true}
				c.add("rewrite", with("rewrite-target", target, "use-regex", regex), first)
				c.add("rewrite-two", with("rewrite-target", target, "use-regex", regex), first, second)
			}
		}
	}
}

func (c *corpus) hosts() {
	c.add("wildcard", nil, one{host: "*.@", path: "/", backend: "app:80"})
	c.add("wildcard-and-host", nil, one{host: "*.@", path: "/", backend: "app:80"}, one{host: "www.@", path: "/", backend: "second:80"})
	c.add("hostless", nil, one{path: "/", backend: "app:80"})
	c.add("hostless-and-host", nil, one{path: "/", backend: "app:80"}, root("app:80"))
	var many []one
	for i := range 30 {
		many = append(many, one{host: fmt.Sprintf("tenant-%d.@", i), path: "/", backend: "app:80"})
	}
	c.add("tenants", nil, many...)
	tls := c.add("tls", with("cert-manager.io/cluster-issuer", "letsencrypt"), root("app:80"))
	tls.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{tls.Spec.Rules[0].Host}, SecretName: "tls"}}
}

func (c *corpus) canaries() {
	for i, annotations := range []map[string]string{
		with("canary", "true", "canary-weight", "10"), with("canary", "true", "canary-by-header", "X-Beta"), with("canary", "false"), with("canary-weight", "10"),
	} {
		host := fmt.Sprintf("canary-%d.example.com", i)
		c.add("main", nil, one{host: host, path: "/", backend: "lonely:80"})
		c.add("canary", annotations, one{host: host, path: "/", backend: "mine:80"})
	}
}

func (c *corpus) challenges() {
	solver := c.add("cm-acme-http-solver-x7k2p", nil, one{host: "solver.example.com", path: "/.well-known/acme-challenge/abc", backend: "cm-acme-http-solver-qqqq:8089", exact: true})
	solver.Labels = map[string]string{"acme.cert-manager.io/http01-solver": "true"}
	c.add("solved-in-place", nil, root("app:80"), one{host: "@", path: "/.well-known/acme-challenge/abc", backend: "cm-acme-http-solver-rrrr:8089", exact: true})
	c.add("solved-only", nil, one{host: "@", path: "/x", backend: "cm-acme-http-solver-ssss:8089"})
}

func (c *corpus) ownAnnotations() {
	for _, class := range classNames {
		canary := c.add("mode-canary", map[string]string{ingressgen.AnnotationMode: "canary"}, root("metrics-"+class+"x:80"))
		c.setClass(canary, class)
		c.setClass(c.add("mode-canary-shared", map[string]string{ingressgen.AnnotationMode: "canary"}, root("app:80")), class)
	}
	c.add("mode-canary-default", map[string]string{ingressgen.AnnotationMode: "canary"}, root("alone:80")).Spec.DefaultBackend = new(backendOf("alone:80"))
	c.add("mode-canary-affinity", map[string]string{ingressgen.AnnotationMode: "canary", nginxPrefix + "affinity": "cookie"}, root("alone2:80"))
	c.add("mode-unknown", map[string]string{ingressgen.AnnotationMode: "shadow"}, root("app:80"))
	c.add("service-unknown", map[string]string{ingressgen.AnnotationService: "nosuch"}, root("app:80"))
	c.add("service-right", map[string]string{ingressgen.AnnotationService: fmt.Sprintf("h%03d.example.com", len(c.ingresses))}, root("app:80"))
	c.add("service-other", map[string]string{ingressgen.AnnotationService: "h000.example.com"}, root("app:80"))
}

func (c *corpus) backends() {
	for _, backend := range []string{"app:http", "app:nosuch", "nosuch:80", "nosuch:http", "external:80", "external-moved:80", "external-moved:http", "1app:80", ""} {
		for _, class := range classNames {
			c.setClass(c.add("backend", nil, root(backend)), class)
		}
	}
	c.add("default-only", nil).Spec.DefaultBackend = new(backendOf("app:80"))
	c.add("default-too", nil, root("app:80")).Spec.DefaultBackend = new(backendOf("second:80"))
}

func (c *corpus) large() {
	for _, count := range []int{100, 501} {
		var paths []one
		for i := range count {
			paths = append(paths, one{host: "@", path: fmt.Sprintf("/p%d", i), backend: "app:80"})
		}
		c.add("large", nil, paths...)
	}
	c.add("long-annotation", map[string]string{"team.example.com/notes": strings.Repeat("x", 245<<10)}, root("app:80"))
}

// neighbors share a host with others, or a host and a path.
func (c *corpus) neighbors() {
	for i, class := range classNames {
		host := fmt.Sprintf("regex-%d.example.com", i)
		c.setClass(c.add("loosened", nil, one{host: host, path: "/one", backend: "app:80"}), class)
		c.setClass(c.add("loosener", with("use-regex", "true"), one{host: host, path: "/two", backend: "second:80", specific: true}), class)
		c.setClass(c.add("around", nil, one{host: host, path: "/", backend: "third:80"}), class)
	}
	for range 2 {
		c.add("same-host-and-path", nil, one{host: "twice.example.com", path: "/", backend: "app:80"})
		c.add("same-host", nil, one{host: "parts.example.com", path: fmt.Sprintf("/part-%d", len(c.ingresses)), backend: "app:80"})
	}
	c.add("elsewhere", nil, one{host: "twice.example.com", path: "/", backend: "app:80"}).Namespace = c.other
	c.add("elsewhere-too", nil, one{host: "parts.example.com", path: "/other", backend: "app:80"}).Namespace = c.other
}

// charts are sets of annotations that charts of well-known applications have.
func (c *corpus) charts() {
	sets := []map[string]string{
		with("cert-manager.io/cluster-issuer", "letsencrypt", "force-ssl-redirect", "true", "proxy-body-size", "0"),
		with("auth-url", "https://auth.example.com/oauth2/auth", "auth-signin", "https://auth.example.com/start", "auth-response-headers", "X-Auth-Request-User"),
		with("proxy-read-timeout", "3600", "proxy-send-timeout", "3600", "proxy-connect-timeout", "10", "proxy-buffering", "off"),
		with("enable-cors", "true", "cors-allow-origin", "https://app.example.com", "limit-rps", "20", "limit-connections", "10"),
		with("affinity", "cookie", "session-cookie-name", "route", "session-cookie-max-age", "172800", "session-cookie-samesite", "Lax"),
		with("configuration-snippet", "more_set_headers \"X-Frame-Options: DENY\";", "server-snippet", "location /status { return 200; }"),
		with("whitelist-source-range", "10.0.0.0/8,192.168.0.0/16", "ssl-redirect", "false", "external-dns.alpha.kubernetes.io/hostname", "x.example.com"),
		with("app-root", "/dashboard", "upstream-vhost", "internal.example.com"),
		with("x-forwarded-prefix", "/app", "rewrite-target", "/"),
		with("traefik.ingress.kubernetes.io/router.entrypoints", "websecure", "traefik.ingress.kubernetes.io/router.middlewares", "default-auth@kubernetescrd"),
	}
	for _, set := range sets {
		for _, class := range classNames {
			c.setClass(c.add("chart", set, root("app:http"), one{host: "@", path: "/api", backend: "second:80"}), class)
		}
	}
	legacy := c.add("class-annotation", map[string]string{"kubernetes.io/ingress.class": "nginx"}, root("app:80"))
	legacy.Spec.IngressClassName = nil
}
