package ingressgen_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

func class(name, controller string, created int64, isDefault string) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, CreationTimestamp: metav1.NewTime(time.Unix(created, 0)),
			Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: isDefault},
		},
		Spec: networkingv1.IngressClassSpec{Controller: controller},
	}
}

func TestControllerOf(t *testing.T) {
	t.Parallel()
	traefik, haproxy := class("traefik", "traefik.io/ingress-controller", 1, "true"), class("haproxy", "haproxy-ingress.github.io/controller", 2, "false")
	nginx := class("nginx", "example.com/renamed", 1, "")
	newer, sameTime := class("newer", "example.com/newer", 3, "true"), class("also-newer", "example.com/also-newer", 3, "true")
	const absent = "-" // "" is a value
	for name, c := range map[string]struct {
		class, annotation string
		classes           []*networkingv1.IngressClass
		want              string
	}{
		"class":                                  {"traefik", absent, []*networkingv1.IngressClass{haproxy, traefik}, "traefik.io/ingress-controller"},
		"class is before annotation and default": {"haproxy", "traefik", []*networkingv1.IngressClass{traefik, haproxy}, "haproxy-ingress.github.io/controller"},
		"class that does not exist":              {"nginx", "nginx", []*networkingv1.IngressClass{traefik}, ""},
		"annotation with an object":              {absent, "nginx", []*networkingv1.IngressClass{nginx, traefik}, "example.com/renamed"},
		"annotation nginx without an object":     {absent, "nginx", []*networkingv1.IngressClass{traefik}, ingressgen.ControllerNginx},
		"another annotation without an object":   {absent, "internal", []*networkingv1.IngressClass{traefik}, ""},
		"an empty annotation is no default":      {absent, "", []*networkingv1.IngressClass{traefik}, ""},
		"default":                                {absent, absent, []*networkingv1.IngressClass{haproxy, traefik}, "traefik.io/ingress-controller"},
		"of several defaults the newest":         {absent, absent, []*networkingv1.IngressClass{traefik, newer}, "example.com/newer"},
		"of one second the first by name":        {absent, absent, []*networkingv1.IngressClass{newer, sameTime, traefik}, "example.com/also-newer"},
		"no default":                             {absent, absent, []*networkingv1.IngressClass{haproxy}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ingress := &networkingv1.Ingress{}
			if c.class != absent {
				ingress.Spec.IngressClassName = &c.class
			}
			if c.annotation != absent {
				ingress.Annotations = map[string]string{"kubernetes.io/ingress.class": c.annotation}
			}
			require.Equal(t, c.want, ingressgen.ControllerOf(ingress, c.classes))
		})
	}
}
