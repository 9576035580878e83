package podrunner

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// nobody is the user of images that must not run as root and name none, as
// distroless images have it.
const nobody = 65532

// binary finds what stands for an image: by its whole name, or by the name
// without tag and digest.
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
	return "", fmt.Errorf("no binary stands for image %q; known: %s", image, strings.Join(keys(o.Images), ", "))
}

func keys(m map[string]string) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// stageOf translates a container of the Pod.
func (w *worker) stageOf(c *corev1.Container) (*stage, error) {
	binary, err := w.runner.options.binary(c.Image)
	if err != nil {
		return nil, err
	}
	env, err := w.environment(c)
	if err != nil {
		return nil, err
	}
	s := &stage{Host: w.pod.Name, Names: w.resolver(), Env: env.list(), Dir: cmp.Or(c.WorkingDir, "/")}
	s.secure(w.pod.Spec.SecurityContext, c.SecurityContext)
	place := s.entry(c, binary, env)
	if s.Mounts, err = w.volumes.mounts(c, env); err != nil {
		return nil, err
	}
	s.Mounts = append(s.Mounts, mount{Source: binary, Target: place, ReadOnly: true})
	return s, nil
}

// entry says what runs, and where the image's binary must lie for that. An
// image has it where the command looks for it.
func (s *stage) entry(c *corev1.Container, binary string, env *environment) (place string) {
	name := filepath.Base(binary)
	place = "/usr/local/bin/" + name
	words := []string{place}
	if len(c.Command) > 0 {
		words = env.expandAll(c.Command)
	}
	if filepath.IsAbs(words[0]) && filepath.Base(words[0]) == name {
		place = words[0]
	}
	s.Program, s.Args = words[0], append(words, env.expandAll(c.Args)...)
	return place
}

// secure takes user, groups and what the root may be.
func (s *stage) secure(pod *corev1.PodSecurityContext, container *corev1.SecurityContext) {
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
		s.User = int(*user)
	case unprivileged != nil && *unprivileged:
		s.User, s.Group = nobody, nobody
	}
	if group != nil {
		s.Group = int(*group)
	}
	for _, more := range pod.SupplementalGroups {
		s.Groups = append(s.Groups, int(more))
	}
	if pod.FSGroup != nil {
		s.Groups = append(s.Groups, int(*pod.FSGroup))
	}
	s.ReadOnly = container.ReadOnlyRootFilesystem != nil && *container.ReadOnlyRootFilesystem
	s.NoNewPrivs = container.AllowPrivilegeEscalation != nil && !*container.AllowPrivilegeEscalation
}
