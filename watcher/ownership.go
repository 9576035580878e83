package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/cluster"
	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// giveBack makes the Ingress belong to those who applied it again.
//
// spec.rules is one field to server-side apply. Our patch of one backend makes
// us its owner, and takes it from who applied it; their next
// `kubectl apply --server-side` of the same manifest would be refused with a
// conflict. So a second write puts managedFields back as they were: theirs is
// what they applied, ours what nobody else owned. Nothing but managedFields
// changes, and the API server counts a write that changes no value as nobody's.
//
// It is not needed for who applies on the client's side or updates, and not
// done for them. When somebody wrote in between, what they wrote counts.
func (k *keeper) giveBack(ctx context.Context, before, after *networkingv1.Ingress) error {
	wanted, taken, err := givenBack(before.ManagedFields, after.ManagedFields)
	if err != nil || !taken {
		return err
	}
	body, err := json.Marshal([]ingressgen.Edit{
		{Op: "test", Path: "/metadata/resourceVersion", Value: after.ResourceVersion},
		{Op: "replace", Path: "/metadata/managedFields", Value: wanted},
	})
	if err != nil {
		return fmt.Errorf("give fields of Ingress %s back: %w", keyOf(after), err)
	}
	_, err = k.client.NetworkingV1().Ingresses(after.Namespace).Patch(
		ctx, after.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: cluster.Manager})
	if k.metrics.wrote("ManagedFields", err) != nil && !changedMeanwhile(err) {
		return fmt.Errorf("give fields of Ingress %s back: %w", keyOf(after), err)
	}
	return nil
}

// givenBack computes managedFields after our write from those before it; taken
// tells whether the write took anything from one who applied.
func givenBack(before, after []metav1.ManagedFieldsEntry) (wanted []metav1.ManagedFieldsEntry, taken bool, err error) {
	own := slices.IndexFunc(after, byUs)
	if own < 0 {
		return nil, false, nil
	}
	wanted = slices.Clone(after)
	mine, err := parseFields(after[own].FieldsV1)
	if err != nil {
		return nil, false, err
	}
	for _, theirs := range before {
		if theirs.Operation != metav1.ManagedFieldsOperationApply {
			continue
		}
		applied, err := parseFields(theirs.FieldsV1)
		if err != nil {
			return nil, false, err
		}
		if mine.remove(applied) {
			taken, wanted = true, put(wanted, theirs)
		}
	}
	if len(mine) == 0 {
		return slices.Delete(wanted, own, own+1), taken, nil
	}
	text, err := json.Marshal(mine)
	wanted[own].FieldsV1 = metav1.NewFieldsV1(string(text))
	return wanted, taken, err
}

// fields is the set of fields in a managedFields entry: a tree whose leaves
// are empty; "." is the node itself.
//
//	{"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}, "f:spec": {"f:rules": {}}}
type fields map[string]fields

func parseFields(text *metav1.FieldsV1) (fields, error) {
	if text == nil {
		return nil, nil
	}
	var tree fields
	if err := json.Unmarshal(text.GetRawBytes(), &tree); err != nil {
		return nil, fmt.Errorf("read managedFields: %w", err)
	}
	return tree, nil
}

// remove takes the others' fields out of the set, and tells whether there were
// any. That both own a node as such (".") is no loss to anybody.
func (f fields) remove(others fields) bool {
	found := false
	for name, theirs := range others {
		mine, ok := f[name]
		if !ok || name == "." {
			continue
		}
		if len(mine) == 0 || len(theirs) == 0 {
			delete(f, name)
			found = true
			continue
		}
		found = mine.remove(theirs) || found
		if len(mine) == 0 || len(mine) == 1 && mine["."] != nil {
			delete(f, name)
		}
	}
	return found
}

func byUs(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == cluster.Manager && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == ""
}

// put replaces the entry of the same owner, or adds it.
func put(entries []metav1.ManagedFieldsEntry, entry metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	same := slices.IndexFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == entry.Manager && e.Operation == entry.Operation && e.APIVersion == entry.APIVersion && e.Subresource == entry.Subresource
	})
	if same < 0 {
		return append(entries, entry)
	}
	entries[same] = entry
	return entries
}
