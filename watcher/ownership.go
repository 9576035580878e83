package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
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
// done for them. What others write in between counts: it is computed anew.
func (k *keeper) giveBack(ctx context.Context, before, after *networkingv1.Ingress) error {
	for range races {
		wanted, taken, err := givenBack(before.ManagedFields, after.ManagedFields)
		if err != nil || !taken {
			return err
		}
		err = k.putFields(ctx, after, wanted)
		if err == nil || !changedMeanwhile(err) {
			return err
		}
		if after, err = k.read(ctx, keyOf(after)); after == nil || err != nil {
			return err
		}
	}
	return nil // with somebody who writes that often nothing lasts
}

func (k *keeper) putFields(ctx context.Context, on *networkingv1.Ingress, wanted []metav1.ManagedFieldsEntry) error {
	body, err := json.Marshal([]ingressgen.Edit{
		{Op: "test", Path: "/metadata/resourceVersion", Value: on.ResourceVersion},
		{Op: "replace", Path: "/metadata/managedFields", Value: wanted},
	})
	if err != nil {
		return fmt.Errorf("give fields of Ingress %s back: %w", keyOf(on), err)
	}
	_, err = k.send(ctx, on, body)
	if k.metrics.wrote("ManagedFields", err) != nil {
		return fmt.Errorf("give fields of Ingress %s back: %w", keyOf(on), err)
	}
	return nil
}

// givenBack computes managedFields after our write from those before it, which
// may be older than the write found; taken tells whether it took anything from
// one who applied.
func givenBack(before, after []metav1.ManagedFieldsEntry) (wanted []metav1.ManagedFieldsEntry, taken bool, err error) {
	own := slices.IndexFunc(after, byUs)
	if own < 0 {
		return nil, false, nil
	}
	mine, err := parseFields(after[own].FieldsV1)
	if err != nil {
		return nil, false, err
	}
	wanted, all := slices.Clone(after), fields{}
	for _, theirs := range before {
		if theirs.Operation != metav1.ManagedFieldsOperationApply {
			continue
		}
		applied, err := parseFields(theirs.FieldsV1)
		if err != nil {
			return nil, false, err
		}
		lost := mine.common(applied)
		if len(lost) == 0 {
			continue
		}
		all.add(lost)
		if wanted, err = give(wanted, theirs, lost); err != nil {
			return nil, false, err
		}
	}
	mine.remove(all)
	if len(mine) == 0 {
		return slices.Delete(wanted, own, own+1), len(all) > 0, nil
	}
	wanted[own].FieldsV1, err = mine.text()
	return wanted, len(all) > 0, err
}

// give adds fields to the entry of their owner.
func give(entries []metav1.ManagedFieldsEntry, owner metav1.ManagedFieldsEntry, lost fields) ([]metav1.ManagedFieldsEntry, error) {
	at := slices.IndexFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == owner.Manager && e.Operation == owner.Operation && e.APIVersion == owner.APIVersion && e.Subresource == owner.Subresource
	})
	if at < 0 { // we took all that it had
		owner.FieldsV1 = metav1.NewFieldsV1("{}")
		at, entries = len(entries), append(entries, owner)
	}
	has, err := parseFields(entries[at].FieldsV1)
	if err != nil {
		return nil, err
	}
	has.add(lost)
	entries[at].FieldsV1, err = has.text()
	return entries, err
}

// fields is the set of fields in a managedFields entry: a tree whose leaves
// are empty; "." is the node itself.
//
//	{"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}, "f:spec": {"f:rules": {}}}
type fields map[string]fields

func parseFields(text *metav1.FieldsV1) (fields, error) {
	tree := fields{}
	if text == nil {
		return tree, nil
	}
	if err := json.Unmarshal(text.GetRawBytes(), &tree); err != nil {
		return nil, fmt.Errorf("read managedFields: %w", err)
	}
	return tree, nil
}

func (f fields) text() (*metav1.FieldsV1, error) {
	text, err := json.Marshal(f)
	return metav1.NewFieldsV1(string(text)), err
}

// common gives what of the others' fields is in the set, too. That both own a
// node as such (".") is no loss to anybody.
func (f fields) common(others fields) fields {
	both := fields{}
	for name, theirs := range others {
		mine, ok := f[name]
		if !ok || name == "." {
			continue
		}
		if len(mine) == 0 || len(theirs) == 0 {
			both[name] = theirs
		} else if below := mine.common(theirs); len(below) > 0 {
			both[name] = below
		}
	}
	if theirs, ok := others["."]; ok && len(both) > 0 {
		both["."] = theirs
	}
	return both
}

func (f fields) add(others fields) {
	for name, theirs := range others {
		if len(f[name]) == 0 {
			f[name] = fields{}
		}
		f[name].add(theirs)
	}
}

// remove takes fields out of the set, and nodes of which nothing else is left.
func (f fields) remove(others fields) {
	for name, theirs := range others {
		mine, ok := f[name]
		if !ok || name == "." {
			continue
		}
		mine.remove(theirs)
		_, itself := mine["."]
		if len(theirs) == 0 || len(mine) == 0 || len(mine) == 1 && itself {
			delete(f, name)
		}
	}
}

func byUs(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == names.Manager && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == ""
}
