package wire

// A Class is an IngressClass that the ingress controller serves, on a port of its own.
type Class struct {
	Name       string
	Controller string // spec.controller of the IngressClass
	Persona    string // whose habits the controller has for it
	Port       int
}

// The personas of the ingress controller.
const (
	Plain        = "plain" // knows canary annotations, applies each change at once
	IngressNginx = "ingress-nginx"
	Traefik      = "traefik"
	HAProxy      = "haproxy"
)

// Classes are all classes of the ingress controller.
var Classes = []Class{
	{Name: "e2e", Controller: "migration-proxy.io/e2e", Persona: Plain, Port: TrafficPort},
	{Name: "e2e-ingress-nginx", Controller: "k8s.io/ingress-nginx", Persona: IngressNginx, Port: 8001},
	{Name: "e2e-traefik", Controller: "traefik.io/ingress-controller", Persona: Traefik, Port: 8002},
	{Name: "e2e-haproxy", Controller: "haproxy-ingress.github.io/controller", Persona: HAProxy, Port: 8003},
}
