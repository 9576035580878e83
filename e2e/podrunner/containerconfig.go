package podrunner

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// nonRootUser is the user for runAsNonRoot without runAsUser: the one of distroless
// images.
const nonRootUser = 65532

// binary gives the binary of an image, by its whole name or by its name without tag
// and digest.
func (o Options) binary(image string) (string, error) {
	if path, known := o.Images[image]; known {
		return path, nil
	}
	name, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	if path, known := o.Images[name]; known {
		return path, nil
	}
	return "", fmt.Errorf("no binary for image %q; there are binaries for %s", image, strings.Join(keys(o.Images), ", "))
}

func keys(m map[string]string) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// containerConfig translates a container of the Pod.
func (w *podWorker) containerConfig(c *corev1.Container) (*containerConfig, error) {
	binary, err := w.kubelet.options.binary(c.Image)
	if err != nil {
		return nil, err
	}
	env, err := w.environment(c)
	if err != nil {
		return nil, err
	}
	s := &containerConfig{Host: w.pod.Name, Names: w.resolver(), Env: env.list(), Dir: cmp.Or(c.WorkingDir, "/")}
	s.secure(w.pod.Spec.SecurityContext, c.SecurityContext)
	place := s.entry(c, binary, env)
	if s.Mounts, err = w.volumes.mounts(c, env); err != nil {
		return nil, err
	}
	s.Mounts = append(s.Mounts, mount{Source: binary, Target: place, ReadOnly: true})
	return s, nil
}

// entry sets program and arguments, and gives the path where the image's binary must
// be: where the command expects it.
func (config *containerConfig) entry(c *corev1.Container, binary string, env *environment) (place string) {
	name := filepath.Base(binary)
	place = "/usr/local/bin/" + name
	words := []string{place}
	if len(c.Command) > 0 {
		words = env.expandAll(c.Command)
	}
	if filepath.IsAbs(words[0]) && filepath.Base(words[0]) == name {
		place = words[0]
	}
	config.Program, config.Args = words[0], append(words, env.expandAll(c.Args)...)
	return place
}

// secure applies the security contexts: user, groups, read-only root and privileges.
func (config *containerConfig) secure(pod *corev1.PodSecurityContext, container *corev1.SecurityContext) {
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if container == nil {
		container = &corev1.SecurityContext{}
	}
	user := cmp.Or(container.RunAsUser, pod.RunAsUser)
	group := cmp.Or(container.RunAsGroup, pod.RunAsGroup)
	unprivileged := cmp.Or(container.RunAsNonRoot, pod.RunAsNonRoot)
	switch {
	case user != nil:
		config.User = int(*user)
	case unprivileged != nil && *unprivileged:
		config.User, config.Group = nonRootUser, nonRootUser
	}
	if group != nil {
		config.Group = int(*group)
	}
	for _, more := range pod.SupplementalGroups {
		config.Groups = append(config.Groups, int(more))
	}
	if pod.FSGroup != nil {
		config.Groups = append(config.Groups, int(*pod.FSGroup))
	}
	config.ReadOnly = container.ReadOnlyRootFilesystem != nil && *container.ReadOnlyRootFilesystem
	config.NoNewPrivs = container.AllowPrivilegeEscalation != nil && !*container.AllowPrivilegeEscalation
}
