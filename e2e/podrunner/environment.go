package podrunner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment has the variables of a container. They also replace $(NAME) in its
// command.
type environment struct {
	names  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if _, known := e.values[name]; !known {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environment) list() []string {
	var all []string
	for _, name := range e.names {
		all = append(all, name+"="+e.values[name])
	}
	return all
}

// expand replaces $(NAME) by the variable's value, $$ by $, and leaves unknown
// names as they are: "$(A)/$$(A)/$(B)" with A=1 gives "1/$(A)/$(B)".
func (e *environment) expand(text string) string {
	var expanded strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		expanded.WriteString(before)
		if !found {
			return expanded.String()
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		value, known := e.values[name]
		switch {
		case strings.HasPrefix(after, "$"):
			expanded.WriteString("$")
			text = after[1:]
		case strings.HasPrefix(after, "(") && closed && known:
			expanded.WriteString(value)
			text = rest
		default:
			expanded.WriteString("$")
			text = after
		}
	}
}

func (e *environment) expandAll(texts []string) []string {
	var expanded []string
	for _, text := range texts {
		expanded = append(expanded, e.expand(text))
	}
	return expanded
}

// environment gives the variables of a container at its start.
func (w *podWorker) environment(c *corev1.Container) (*environment, error) {
	e := &environment{values: map[string]string{}}
	server := w.kubelet.options.APIServer
	port := strconv.Itoa(int(server.Port()))
	e.set("PATH", searchPath)
	e.set("HOME", "/")
	e.set("HOSTNAME", w.pod.Name)
	e.set("KUBERNETES_SERVICE_HOST", server.Addr().String())
	e.set("KUBERNETES_SERVICE_PORT", port)
	e.set("KUBERNETES_SERVICE_PORT_HTTPS", port)
	for _, source := range c.EnvFrom {
		if err := w.fill(e, source); err != nil {
			return nil, err
		}
	}
	for _, variable := range c.Env {
		value, known, err := w.value(variable, e)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", variable.Name, err)
		}
		if known {
			e.set(variable.Name, value)
		}
	}
	return e, nil
}

// fill adds all keys of a ConfigMap or Secret.
func (w *podWorker) fill(e *environment, source corev1.EnvFromSource) error {
	var content map[string][]byte
	var err error
	var optional *bool
	switch {
	case source.ConfigMapRef != nil:
		optional = source.ConfigMapRef.Optional
		content, err = w.configMap(source.ConfigMapRef.Name)
	case source.SecretRef != nil:
		optional = source.SecretRef.Optional
		content, err = w.secret(source.SecretRef.Name)
	}
	if err != nil && !forgiven(err, optional) {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(content)) {
		e.set(source.Prefix+name, string(content[name]))
	}
	return nil
}

// value gives the value of a variable. known is false for an optional source that does
// not exist, and for resource fields, because there are no limits here.
func (w *podWorker) value(variable corev1.EnvVar, e *environment) (value string, known bool, err error) {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return e.expand(variable.Value), true, nil
	case from.FieldRef != nil:
		value, err = w.field(from.FieldRef.FieldPath)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		content, err := w.configMap(from.ConfigMapKeyRef.Name)
		return choose(content, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional, err)
	case from.SecretKeyRef != nil:
		content, err := w.secret(from.SecretKeyRef.Name)
		return choose(content, from.SecretKeyRef.Key, from.SecretKeyRef.Optional, err)
	}
	return "", false, nil
}

func choose(content map[string][]byte, key string, optional *bool, err error) (string, bool, error) {
	value, known := content[key]
	if err == nil && !known && !forgiven(nil, optional) {
		err = fmt.Errorf("key %q does not exist", key)
	}
	if err != nil && forgiven(err, optional) {
		err = nil
	}
	return string(value), known, err
}

// forgiven tells whether the source is optional and does not exist.
func forgiven(err error, optional *bool) bool {
	return optional != nil && *optional && (err == nil || apierrors.IsNotFound(err))
}

// field gives the value of a downward API field.
func (w *podWorker) field(path string) (string, error) {
	pod := w.pod
	fields := map[string]string{
		"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "metadata.uid": string(pod.UID),
		"metadata.labels": pairs(pod.Labels), "metadata.annotations": pairs(pod.Annotations),
		"spec.nodeName": pod.Spec.NodeName, "spec.serviceAccountName": pod.Spec.ServiceAccountName,
		"status.hostIP": w.kubelet.options.Network.Addr().String(), "status.podIP": w.sandbox.address.String(),
		"status.hostIPs": w.kubelet.options.Network.Addr().String(), "status.podIPs": w.sandbox.address.String(),
	}
	if value, known := fields[path]; known {
		return value, nil
	}
	name, key, _ := strings.Cut(strings.TrimSuffix(path, "']"), "['")
	switch name {
	case "metadata.labels":
		return pod.Labels[key], nil
	case "metadata.annotations":
		return pod.Annotations[key], nil
	}
	return "", fmt.Errorf("field %q is not supported", path)
}

// pairs formats labels as the downward API does: one key="value" per line.
func pairs(m map[string]string) string {
	var lines []string
	for _, key := range keys(m) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}

func (w *podWorker) configMap(name string) (map[string][]byte, error) {
	found, err := w.kubelet.informers.Core().V1().ConfigMaps().Lister().ConfigMaps(w.pod.Namespace).Get(name)
	if err != nil {
		return nil, err
	}
	content := maps.Clone(found.BinaryData)
	if content == nil {
		content = map[string][]byte{}
	}
	for key, text := range found.Data {
		content[key] = []byte(text)
	}
	return content, nil
}

func (w *podWorker) secret(name string) (map[string][]byte, error) {
	found, err := w.kubelet.informers.Core().V1().Secrets().Lister().Secrets(w.pod.Namespace).Get(name)
	if err != nil {
		return nil, err
	}
	return found.Data, nil
}
