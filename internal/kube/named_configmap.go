package kube

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// NamedConfigMap is one ConfigMap, by its name. It may not exist.
type NamedConfigMap struct {
	Client          kubernetes.Interface
	Namespace, Name string
	Log             *slog.Logger
	// OnError, if set, gets the error of each failed list and watch request,
	// from the goroutine that calls take. Follow retries for ever.
	OnError func(error)
}

// String is "NAMESPACE/NAME", for messages.
func (c NamedConfigMap) String() string { return c.Namespace + "/" + c.Name }

// Follow calls take with each version of the ConfigMap, in order and from one
// goroutine, and with nil when it does not exist. The first call comes when
// the API server has answered. Versions that were overwritten while the API
// server was away are skipped, and no version is taken twice. take may keep the
// ConfigMap, but must not change it. Follow blocks until ctx ends; then it
// returns nil and leaves no goroutine.
func (c NamedConfigMap) Follow(ctx context.Context, take func(*corev1.ConfigMap)) error {
	name := "configmap " + c.String()
	failures := configMapFailures{log: NewFailureLog(c.Log), onError: c.OnError}
	versions := &configMapVersions{Store: NewStore(name, func(*corev1.ConfigMap) {}, failures), take: take}
	versions.observer = versions
	source := Source[*corev1.ConfigMapList]{
		Client: c.Client.CoreV1().ConfigMaps(c.Namespace), Fields: fields.OneTermEqualSelector(metav1.ObjectNameField, c.Name).String(),
	}
	runReflector(ctx, name, versions, &lister[*corev1.ConfigMapList]{source, failures, "follow " + name})
	return nil
}

// configMapFailures logs failures and passes each of them to OnError.
type configMapFailures struct {
	log     *FailureLog
	onError func(error)
}

// Report implements FailureReporter.
func (f configMapFailures) Report(subject string, err error) bool {
	if err != nil && f.onError != nil {
		defer f.onError(err)
	}
	return f.log.Report(subject, err)
}

// configMapVersions is a Store of one ConfigMap that passes its versions on.
type configMapVersions struct {
	*Store[*corev1.ConfigMap]
	take  func(*corev1.ConfigMap)
	taken bool // take was called
}

// Changed implements Observer.
func (v *configMapVersions) Changed(before, after *corev1.ConfigMap) {
	if before != nil && after != nil && before.UID == after.UID && before.ResourceVersion == after.ResourceVersion {
		return // a list has the version again
	}
	v.taken = true
	v.take(after)
}

// Replace implements cache.ReflectorStore. The first list may be empty, which
// is no change.
func (v *configMapVersions) Replace(objects []any, version string) error {
	err := v.Store.Replace(objects, version)
	if !v.taken {
		v.taken = true
		v.take(nil)
	}
	return err
}
