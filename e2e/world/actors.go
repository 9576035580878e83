package world

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// ClassOf is the class that the ingress controller serves with the habits of a persona.
func ClassOf(persona string) wire.Class {
	for _, class := range wire.Classes {
		if class.Persona == persona {
			return class
		}
	}
	panic("no class has the persona " + persona)
}

func ingressClass(class wire.Class) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: class.Name}, Spec: networkingv1.IngressClassSpec{Controller: class.Controller},
	}
}

// controllerAddress is where the ingress controller serves a class.
func controllerAddress(class wire.Class) string {
	return fmt.Sprintf("%s.%s.svc.cluster.local:%d", controllerName, actorNamespace, class.Port)
}

// ActorNamespace is the namespace of the ingress controller and of the clients.
const ActorNamespace = "migration-proxy-e2e"

// The namespace of the actors that all scenarios share, and the names of these actors.
const (
	actorNamespace = ActorNamespace
	controllerName = "controller"
	trafficName    = "traffic"
)

// ActorLabel is on the Pods of all actors, with the name of the actor.
const ActorLabel = "migration-proxy-e2e/actor"

// actor is a Pod of the actor image, with a headless Service of the same name.
type actor struct {
	namespace, name, image string
	args                   []string
	port                   int32  // for traffic; 0: no Service
	portName               string // in the Service; "" is web
	account                string // service account; "": no token
}

func (a actor) pod() *corev1.Pod {
	probe := &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: wire.PathReady, Port: intstr.FromInt(wire.ControlPort)}},
		PeriodSeconds: 1,
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: a.name, Labels: map[string]string{ActorLabel: a.name}},
		Spec: corev1.PodSpec{
			ServiceAccountName:            a.account,
			AutomountServiceAccountToken:  new(a.account != ""),
			TerminationGracePeriodSeconds: new(int64(1)),
			Affinity:                      besideTheController,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "actor", Image: a.image, ImagePullPolicy: corev1.PullIfNotPresent, Args: a.args, ReadinessProbe: probe,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
				}},
			}},
		},
	}
}

// besideTheController keeps the actors on one node where there are several, so that
// scenarios can take another node away.
var besideTheController = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
	PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
		Weight: 100,
		PodAffinityTerm: corev1.PodAffinityTerm{
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{ActorLabel: controllerName}},
			Namespaces:    []string{actorNamespace}, TopologyKey: corev1.LabelHostname,
		},
	}},
}}

// service is headless, so that its name resolves to the Pod in every cluster.
func (a actor) service() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: a.name},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{ActorLabel: a.name},
			Ports: []corev1.ServicePort{{Name: cmp.Or(a.portName, "web"), Port: a.port, TargetPort: intstr.FromInt32(a.port)}},
		},
	}
}

// createActor creates the Pod and the Service of an actor.
func (c *Cluster) createActor(ctx context.Context, a actor) error {
	a.image = c.images.actor
	if a.port != 0 {
		if _, err := c.Client.CoreV1().Services(a.namespace).Create(ctx, a.service(), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create service %s/%s: %w", a.namespace, a.name, err)
		}
	}
	if _, err := c.Client.CoreV1().Pods(a.namespace).Create(ctx, a.pod(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create pod %s/%s: %w", a.namespace, a.name, err)
	}
	return nil
}

// ready gives nil if the Pod is ready.
func (c *Cluster) ready(ctx context.Context, namespace, name string) error {
	pod, err := c.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !podReady(pod) {
		return fmt.Errorf("pod %s/%s is not ready: %s %v", namespace, name, pod.Status.Phase, pod.Status.ContainerStatuses)
	}
	return nil
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}

// actorRequest is a request to the control port of an actor.
type actorRequest struct {
	namespace, pod string
	path           string
	params         map[string]string
	body           any // nil: GET
}

// callActor sends a request to an actor through the API server, which every kubeconfig
// reaches.
func (c *Cluster) callActor(ctx context.Context, q actorRequest, answer any) error {
	method, body := http.MethodGet, []byte(nil)
	if q.body != nil {
		method = http.MethodPost
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return err
		}
	}
	request := c.Client.CoreV1().RESTClient().Verb(method).Namespace(q.namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", q.pod, wire.ControlPort)).SubResource("proxy").Suffix(q.path).Body(body)
	for name, value := range q.params {
		request = request.Param(name, value)
	}
	text, err := request.DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("call pod %s/%s %s: %w %s", q.namespace, q.pod, q.path, err, text)
	}
	return json.Unmarshal(text, answer)
}

// controllerRole lets the ingress controller read the objects that its routes depend
// on.
func controllerRole() *rbacv1.ClusterRole {
	read := []string{"get", "list", "watch"}
	return &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: actorNamespace},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: read},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
			{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: read},
		},
	}
}

func controllerBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: actorNamespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: actorNamespace},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: actorNamespace, Name: controllerName}},
	}
}
