package ingressgen

import (
	"cmp"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// ControllerNginx is the controller of ingress-nginx's class, unless its
// installation gives it another name.
const ControllerNginx = "k8s.io/ingress-nginx"

// nginxClass is the class annotation that ingress-nginx takes by default,
// whether or not there is an IngressClass of this name.
const nginxClass = "nginx"

// ControllerOf gives spec.controller of the IngressClass that the Ingress
// belongs to; "" if there is none. The first of these that the Ingress has
// counts:
//
//	spec.ingressClassName                    the IngressClass of this name
//	annotation kubernetes.io/ingress.class   the IngressClass of this name, else
//	                                         ingress-nginx for "nginx"
//	neither                                  the default IngressClass
func ControllerOf(ingress *networkingv1.Ingress, classes []*networkingv1.IngressClass) string {
	if name := ingress.Spec.IngressClassName; name != nil {
		return controllerOf(classNamed(*name, classes))
	}
	name, annotated := ingress.Annotations[ingressClass]
	if !annotated {
		return controllerOf(defaultClass(classes))
	}
	if class := classNamed(name, classes); class != nil {
		return controllerOf(class)
	}
	if name == nginxClass {
		return ControllerNginx
	}
	return ""
}

func controllerOf(class *networkingv1.IngressClass) string {
	if class == nil {
		return ""
	}
	return class.Spec.Controller
}

func classNamed(name string, classes []*networkingv1.IngressClass) *networkingv1.IngressClass {
	i := slices.IndexFunc(classes, func(class *networkingv1.IngressClass) bool { return class.Name == name })
	if i < 0 {
		return nil
	}
	return classes[i]
}

// defaultClass is the class that the API server writes into a new Ingress
// without one: of several the newest, and of those of one second the first by
// name; nil if there is none.
func defaultClass(classes []*networkingv1.IngressClass) *networkingv1.IngressClass {
	var found *networkingv1.IngressClass
	for _, class := range classes {
		if class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		if found == nil || preferredDefault(class, found) < 0 {
			found = class
		}
	}
	return found
}

func preferredDefault(a, b *networkingv1.IngressClass) int {
	return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// ClassName is how an Ingress names its class.
type ClassName struct {
	Name string // "": the default class of the cluster
	// Annotated: by annotation kubernetes.io/ingress.class, which the field
	// spec.ingressClassName has replaced.
	Annotated bool
}

// ClassNameOf gives the name of the Ingress's class. The field counts before the
// annotation.
func ClassNameOf(ingress *networkingv1.Ingress) ClassName {
	if name := ingress.Spec.IngressClassName; name != nil {
		return ClassName{Name: *name}
	}
	name, annotated := ingress.Annotations[ingressClass]
	return ClassName{Name: name, Annotated: annotated}
}

// set gives the Ingress the class.
func (c ClassName) set(ingress *networkingv1.Ingress) {
	switch {
	case c.Annotated:
		ingress.Annotations[ingressClass] = c.Name
	case c.Name != "":
		ingress.Spec.IngressClassName = &c.Name
	}
}
