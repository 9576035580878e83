package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// HAProxy Ingress is a controller that nobody here wrote. It runs in the namespace of
// the App that uses it, which is the only one that it serves, with the HAProxy of this
// machine.
const (
	haproxyName  = "haproxy-ingress" // of its program, its image and its objects
	haproxyImage = haproxyName + ":e2e"
	haproxyHome  = "/haproxy-ingress"
	// haproxyStart makes the folders that an image would have. The program reads its
	// templates in ./rootfs, and writes below the prefix. Only external authentication
	// uses Lua's module json, which Debian has in another package.
	haproxyStart = "mkdir -p run/etc/haproxy run/var/lib/haproxy && cp -R rootfs/etc/lua run/etc/haproxy/ && " +
		"echo 'return {}' >run/etc/haproxy/lua/json.lua && " +
		"exec /usr/local/bin/haproxy-ingress --local-filesystem-prefix=" + haproxyHome + "/run --configmap=$POD_NAMESPACE/" + haproxyName +
		" --watch-namespace=$POD_NAMESPACE --watch-gateway=false --update-status=false"
)

// BehindHAProxyIngress starts HAProxy Ingress, and makes the App use it. It ends with the
// App.
func (s *App) BehindHAProxyIngress() {
	s.t.Helper()
	ctx := s.t.Context()
	files, err := haproxyTemplates()
	must(s.t, err, "read the templates of HAProxy Ingress")
	role, binding := haproxyRights(s.Namespace)
	class := haproxyName + "-" + s.Service
	s.t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		err := ignoreNotFound(
			s.Client.RbacV1().ClusterRoles().Delete(ctx, role.Name, metav1.DeleteOptions{}),
			s.Client.RbacV1().ClusterRoleBindings().Delete(ctx, binding.Name, metav1.DeleteOptions{}),
			s.Client.NetworkingV1().IngressClasses().Delete(ctx, class, metav1.DeleteOptions{}),
		)
		if err != nil {
			s.t.Errorf("remove HAProxy Ingress: %v", err)
		}
	})
	create := metav1.CreateOptions{}
	_, err1 := s.Client.RbacV1().ClusterRoles().Create(ctx, role, create)
	_, err2 := s.Client.RbacV1().ClusterRoleBindings().Create(ctx, binding, create)
	_, err3 := s.Client.NetworkingV1().IngressClasses().Create(ctx, haproxyClass(class), create)
	_, err4 := s.Client.CoreV1().ServiceAccounts(s.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: named(haproxyName)}, create)
	_, err5 := s.Client.CoreV1().ConfigMaps(s.Namespace).Create(ctx, files.object(), create)
	_, err6 := s.Client.CoreV1().ConfigMaps(s.Namespace).Create(ctx, haproxySettings(), create)
	must(s.t, errors.Join(err1, err2, err3, err4, err5, err6), "prepare HAProxy Ingress")
	pod, err := s.Client.CoreV1().Pods(s.Namespace).Create(ctx, haproxyPod(files), create)
	must(s.t, err, "start HAProxy Ingress")
	Eventually(s.t, "HAProxy Ingress", func(ctx context.Context) error {
		if err := s.ready(ctx, s.Namespace, haproxyName); err != nil {
			return err
		}
		pod, err = s.Client.CoreV1().Pods(s.Namespace).Get(ctx, haproxyName, metav1.GetOptions{})
		return err
	})
	s.Class, s.target, s.reloads = class, fmt.Sprintf("%s:%d", pod.Status.PodIP, wire.TrafficPort), true
	s.tlsTarget = fmt.Sprintf("%s:%d", pod.Status.PodIP, wire.TLSPort)
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

// templates are files by their path below rootfs.
type templates map[string]string

// haproxyTemplates reads what make controlplane copied from the module of HAProxy
// Ingress.
func haproxyTemplates() (templates, error) {
	program, err := controlplane.Program(haproxyName)
	if err != nil {
		return nil, err
	}
	root, found := os.DirFS(program+"-rootfs"), templates{}
	err = fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		found[path] = string(text)
		return err
	})
	return found, err
}

// object has the files under keys without slashes.
func (t templates) object() *corev1.ConfigMap {
	object := &corev1.ConfigMap{ObjectMeta: named(haproxyName + "-templates"), Data: map[string]string{}}
	for path, text := range t {
		object.Data[key(path)] = text
	}
	return object
}

// volume has the files at their paths.
func (t templates) volume() corev1.VolumeSource {
	source := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: haproxyName + "-templates"}}
	for path := range t {
		source.Items = append(source.Items, corev1.KeyToPath{Key: key(path), Path: path})
	}
	return corev1.VolumeSource{ConfigMap: source}
}

func key(path string) string { return strings.ReplaceAll(filepath.ToSlash(path), "/", "_") }

func haproxyClass(name string) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{
		ObjectMeta: named(name), Spec: networkingv1.IngressClassSpec{Controller: ClassOf(wire.HAProxy).Controller},
	}
}

func haproxySettings() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: named(haproxyName), Data: map[string]string{
		"http-port": fmt.Sprint(wire.TrafficPort), "https-port": fmt.Sprint(wire.TLSPort),
	}}
}

func haproxyPod(files templates) *corev1.Pod {
	pod := actor{name: haproxyName, image: haproxyImage, account: haproxyName}.pod()
	container := &pod.Spec.Containers[0]
	container.Command, container.WorkingDir = []string{"sh", "-c", haproxyStart}, haproxyHome
	container.SecurityContext.ReadOnlyRootFilesystem = nil
	container.ReadinessProbe.HTTPGet.Path, container.ReadinessProbe.HTTPGet.Port = "/readyz", intstr.FromInt(10254)
	for name, path := range map[string]string{"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"} {
		container.Env = append(container.Env, corev1.EnvVar{
			Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}},
		})
	}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "templates", VolumeSource: files.volume()},
		{Name: "run", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	container.VolumeMounts = []corev1.VolumeMount{
		{Name: "templates", MountPath: haproxyHome + "/rootfs", ReadOnly: true}, {Name: "run", MountPath: haproxyHome + "/run"},
	}
	return pod
}

// haproxyRights are those that its own documentation asks for.
func haproxyRights(namespace string) (*rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding) {
	name := namespace + "-" + haproxyName
	role := &rbacv1.ClusterRole{ObjectMeta: named(name), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps", "endpoints", "nodes", "pods", "secrets", "services", "namespaces"},
			Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses", "ingressclasses"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: named(name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: haproxyName}},
	}
	return role, binding
}
