package kube

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// recorder is an Observer that writes the changes down: "1->2" is an update
// from resource version 1 to 2, "none->1" a new object.
type recorder struct{ changes []string }

func (r *recorder) Changed(before, after *corev1.Service) {
	r.changes = append(r.changes, versionOf(before)+"->"+versionOf(after))
}

func (r *recorder) take() []string {
	changes := r.changes
	r.changes = nil
	return changes
}

func versionOf(service *corev1.Service) string {
	if service == nil {
		return "none"
	}
	return service.ResourceVersion
}

var shop = types.NamespacedName{Namespace: "shop", Name: "api"}

// service is Service shop/api; objects of one incarnation have one UID.
func service(incarnation string, version int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: shop.Namespace, Name: shop.Name, UID: types.UID(incarnation), ResourceVersion: fmt.Sprint(version),
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
	}
}

func newServiceStore(t *testing.T) (*Store[*corev1.Service], *recorder) {
	t.Helper()
	trim := func(service *corev1.Service) { service.ManagedFields = nil }
	store := NewStore("services", trim, NewFailureLog(slog.New(slog.DiscardHandler)))
	observed := &recorder{}
	store.observer = observed
	return store, observed
}

func TestStoreFollowsTheWatch(t *testing.T) {
	t.Parallel()
	store, observed := newServiceStore(t)
	require.NoError(t, store.Replace(nil, "1"))
	<-store.Listed()
	require.Nil(t, store.Get(shop))
	require.NoError(t, store.Add(service("a", 2)))
	require.NoError(t, store.Update(service("a", 3)))
	require.Equal(t, "3", versionOf(store.Get(shop)))
	require.Empty(t, store.Get(shop).ManagedFields, "objects are trimmed")
	require.Len(t, store.List(), 1)
	require.NoError(t, store.Delete(service("a", 4)))
	require.Empty(t, store.List())
	require.Equal(t, []string{"none->2", "2->3", "4->none"}, observed.take())
	require.Error(t, store.Update(&corev1.Pod{}))
	require.Error(t, store.Delete("no object"))
}

// TestStoreKeepsOwnWrites: events of the watch that are older than the
// program's own write change nothing, and the event of the write itself is a
// change.
func TestStoreKeepsOwnWrites(t *testing.T) {
	t.Parallel()
	store, observed := newServiceStore(t)
	require.NoError(t, store.Replace([]any{service("a", 2)}, "2"))
	store.ObserveWrite(service("a", 5))
	require.Empty(t, store.Get(shop).ManagedFields, "own writes are trimmed, too")
	require.NoError(t, store.Update(service("a", 4)))
	require.Equal(t, "5", versionOf(store.Get(shop)))
	require.NoError(t, store.Update(service("a", 5)))
	require.Equal(t, []string{"none->2", "5->5"}, observed.take())
	store.ObserveWrite(service("a", 3))
	require.Equal(t, "5", versionOf(store.Get(shop)), "the answer to a write came after a later event")
	require.NoError(t, store.Delete(service("a", 6)))
	store.ObserveWrite(service("a", 5))
	require.Nil(t, store.Get(shop), "the answer to a write came after the deletion")
}

func TestStoreKeepsOwnWritesOverAList(t *testing.T) {
	t.Parallel()
	store, observed := newServiceStore(t)
	require.NoError(t, store.Replace(nil, "2"))
	store.ObserveWrite(service("a", 5))
	require.NoError(t, store.Replace(nil, "4"))
	require.Equal(t, "5", versionOf(store.Get(shop)), "the list is older than the write")
	require.NoError(t, store.Replace(nil, "5"))
	require.Nil(t, store.Get(shop), "the list does not have it any more")
	require.Equal(t, []string{"5->none"}, observed.take())
}

// TestStoreKeepsOwnDeletes until the watch delivers the deletion; a new object
// of the same name is stored.
func TestStoreKeepsOwnDeletes(t *testing.T) {
	t.Parallel()
	store, observed := newServiceStore(t)
	require.NoError(t, store.Replace([]any{service("a", 2)}, "2"))
	store.ObserveDelete(service("b", 2))
	require.NotNil(t, store.Get(shop), "another object was deleted")
	store.ObserveDelete(service("a", 2))
	require.Nil(t, store.Get(shop))
	require.NoError(t, store.Update(service("a", 3)))
	require.Nil(t, store.Get(shop), "the event is older than the delete")
	store.ObserveWrite(service("b", 6))
	require.NoError(t, store.Delete(service("a", 5)))
	require.Equal(t, "6", versionOf(store.Get(shop)), "the new object stays")
	require.Equal(t, []string{"none->2"}, observed.take())
	require.Empty(t, store.deleted)

	store.ObserveDelete(service("b", 6))
	require.NoError(t, store.Replace([]any{service("b", 6)}, "6"))
	require.Nil(t, store.Get(shop), "the list is older than the delete")
	require.NoError(t, store.Replace(nil, "7"))
	require.Empty(t, store.deleted, "no deletion will come any more")
}

// TestStoreAfterARestore: the API server's data comes from a backup, so its
// versions begin again below those that are known.
func TestStoreAfterARestore(t *testing.T) {
	t.Parallel()
	store, observed := newServiceStore(t)
	web := service("w", 90)
	web.Name = "web"
	require.NoError(t, store.Replace([]any{service("a", 80), web}, "100"))
	observed.take()
	require.NoError(t, store.Replace([]any{service("a", 7)}, "50"))
	require.Equal(t, "7", versionOf(store.Get(shop)))
	require.Len(t, store.List(), 1)
	require.Equal(t, []string{"80->7", "90->none"}, observed.take())
	require.NoError(t, store.Update(service("a", 51)))
	require.Equal(t, "51", versionOf(store.Get(shop)))
	require.NoError(t, store.Update(service("a", 49)))
	require.Equal(t, "51", versionOf(store.Get(shop)))
}

// TestConfigMapVersions: an absent ConfigMap is one version, and a list that
// has the same version again is none.
func TestConfigMapVersions(t *testing.T) {
	t.Parallel()
	configMap := func(version string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config", UID: "a", ResourceVersion: version}}
	}
	var taken []string
	versions := &configMapVersions{
		Store: NewStore("config", func(*corev1.ConfigMap) {}, NewFailureLog(slog.New(slog.DiscardHandler))),
		take: func(version *corev1.ConfigMap) {
			if version == nil {
				taken = append(taken, "none")
				return
			}
			taken = append(taken, version.ResourceVersion)
		},
	}
	versions.observer = versions
	require.NoError(t, versions.Replace(nil, "1"))
	require.NoError(t, versions.Replace(nil, "1"))
	require.NoError(t, versions.Add(configMap("2")))
	require.NoError(t, versions.Replace([]any{configMap("2")}, "5"))
	require.NoError(t, versions.Update(configMap("6")))
	require.NoError(t, versions.Replace(nil, "3"), "a restored backup without it")
	require.Equal(t, []string{"none", "2", "6", "none"}, taken)
}
