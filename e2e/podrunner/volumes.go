package podrunner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// refreshEvery is the longest time until a change of a ConfigMap or Secret is in its
// volumes. Kubernetes takes about a minute.
const refreshEvery = 500 * time.Millisecond

// volumes are the folders of a Pod's volumes. It must be used by one goroutine at a
// time.
type volumes struct {
	worker  *podWorker
	written map[string]payload // the current content, by volume
	tokens  map[string]token   // by audience
}

func newVolumes(w *podWorker) *volumes {
	return &volumes{worker: w, written: map[string]payload{}, tokens: map[string]token{}}
}

func (v *volumes) dir(name string) string { return filepath.Join(v.worker.dir, "volumes", name) }

// keepUpToDate writes changed content, until the context ends.
func (v *volumes) keepUpToDate(ctx context.Context) {
	for ctx.Err() == nil {
		pause.For(ctx, refreshEvery)
		if err := v.write(ctx); err != nil && ctx.Err() == nil {
			v.worker.kubelet.options.Log.Info("volume is not updated", "pod", v.worker.name(), "error", err)
		}
	}
}

// write writes the volumes whose content has changed.
func (v *volumes) write(ctx context.Context) error {
	var all error
	for i := range v.worker.pod.Spec.Volumes {
		volume := &v.worker.pod.Spec.Volumes[i]
		if err := v.writeOne(ctx, volume); err != nil {
			all = errors.Join(all, fmt.Errorf("volume %s: %w", volume.Name, err))
		}
	}
	return all
}

func (v *volumes) writeOne(ctx context.Context, volume *corev1.Volume) error {
	dir := v.dir(volume.Name)
	if volume.EmptyDir != nil {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		return os.Chmod(dir, 0o777)
	}
	content, err := v.content(ctx, volume)
	if err != nil {
		return err
	}
	if have, is := v.written[volume.Name]; is && reflect.DeepEqual(have, content) {
		return nil
	}
	if err := content.write(dir, v.group()); err != nil {
		return err
	}
	v.written[volume.Name] = content
	return nil
}

// group is the fsGroup, which may read all files; -1 when the Pod has none.
func (v *volumes) group() int {
	if security := v.worker.pod.Spec.SecurityContext; security != nil && security.FSGroup != nil {
		return int(*security.FSGroup)
	}
	return -1
}

// content gives the wanted content of a volume.
func (v *volumes) content(ctx context.Context, volume *corev1.Volume) (payload, error) {
	switch {
	case volume.ConfigMap != nil:
		return v.projected(ctx, volume.ConfigMap.DefaultMode, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: volume.ConfigMap.LocalObjectReference,
			Items:                volume.ConfigMap.Items, Optional: volume.ConfigMap.Optional,
		}})
	case volume.Secret != nil:
		return v.projected(ctx, volume.Secret.DefaultMode, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: volume.Secret.SecretName},
			Items:                volume.Secret.Items, Optional: volume.Secret.Optional,
		}})
	case volume.DownwardAPI != nil:
		return v.projected(ctx, volume.DownwardAPI.DefaultMode, corev1.VolumeProjection{
			DownwardAPI: &corev1.DownwardAPIProjection{Items: volume.DownwardAPI.Items},
		})
	case volume.Projected != nil:
		return v.projected(ctx, volume.Projected.DefaultMode, volume.Projected.Sources...)
	}
	return payload{}, errors.New("only emptyDir, configMap, secret, projected and downwardAPI are supported")
}

// projected combines sources into the content of one volume.
func (v *volumes) projected(ctx context.Context, mode *int32, sources ...corev1.VolumeProjection) (payload, error) {
	all := payload{defaultMode: modeOf(mode, 0o644), files: map[string]file{}}
	for _, source := range sources {
		if err := v.add(ctx, all, source); err != nil {
			return payload{}, err
		}
	}
	return all, nil
}

func (v *volumes) add(ctx context.Context, all payload, source corev1.VolumeProjection) error {
	switch {
	case source.ConfigMap != nil:
		content, err := v.worker.configMap(source.ConfigMap.Name)
		return errors.Join(lenient(err, source.ConfigMap.Optional), all.take(content, source.ConfigMap.Items))
	case source.Secret != nil:
		content, err := v.worker.secret(source.Secret.Name)
		return errors.Join(lenient(err, source.Secret.Optional), all.take(content, source.Secret.Items))
	case source.DownwardAPI != nil:
		return v.addFields(all, source.DownwardAPI.Items)
	case source.ServiceAccountToken != nil:
		return v.addToken(ctx, all, source.ServiceAccountToken)
	}
	return errors.New("this kind of projection is not supported")
}

func lenient(err error, optional *bool) error {
	if forgiven(err, optional) {
		return nil
	}
	return err
}

func (v *volumes) addFields(all payload, items []corev1.DownwardAPIVolumeFile) error {
	for _, item := range items {
		if item.FieldRef == nil {
			continue // resources: nonRootUser limits them here
		}
		text, err := v.worker.field(item.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		all.files[item.Path] = file{content: []byte(text), mode: modeOf(item.Mode, all.defaultMode)}
	}
	return nil
}

// mounts gives the volume mounts of a container.
func (v *volumes) mounts(c *corev1.Container, env *environment) ([]mount, error) {
	var all []mount
	for _, m := range c.VolumeMounts {
		inside := cmp.Or(m.SubPath, env.expand(m.SubPathExpr))
		source := filepath.Join(v.dir(m.Name), filepath.Join("/", inside))
		if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) && inside != "" {
			if err := os.MkdirAll(source, 0o777); err != nil {
				return nil, err
			}
		}
		all = append(all, mount{Source: source, Target: m.MountPath, ReadOnly: m.ReadOnly})
	}
	return all, nil
}
