package fieldowners

import (
	"bytes"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Restore computes managedFields after a patch by manager from those before
// it, which may be older than what the patch found. It returns nil when the
// patch took no field from a user who applied the object.
func Restore(before, after []metav1.ManagedFieldsEntry, manager string) ([]metav1.ManagedFieldsEntry, error) {
	own := slices.IndexFunc(after, func(entry metav1.ManagedFieldsEntry) bool { return isUpdateBy(entry, manager) })
	if own < 0 {
		return nil, nil
	}
	owned, err := parseFields(after[own].FieldsV1)
	if err != nil {
		return nil, err
	}
	restored, taken := slices.Clone(after), fieldpath.NewSet()
	for _, entry := range before {
		if entry.Operation != metav1.ManagedFieldsOperationApply {
			continue
		}
		applied, err := parseFields(entry.FieldsV1)
		if err != nil {
			return nil, err
		}
		lost := takenFrom(applied, owned)
		if lost.Empty() {
			continue
		}
		taken = taken.Union(lost)
		if restored, err = addFields(restored, entry, withMaps(lost, applied)); err != nil {
			return nil, err
		}
	}
	if taken.Empty() {
		return nil, nil
	}
	return setFields(restored, own, without(owned, taken))
}

func isUpdateBy(entry metav1.ManagedFieldsEntry, manager string) bool {
	return entry.Manager == manager && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == ""
}

// takenFrom is which of the applied fields the patch owns now. That both own a
// map as such is no loss.
//
//	applied                        owned                        taken
//	.spec.rules                    .spec.rules                  .spec.rules
//	.metadata.annotations, .a      .metadata.annotations, .b    nothing
//	.metadata.annotations, .a      .metadata.annotations, .a    .metadata.annotations.a
func takenFrom(applied, owned *fieldpath.Set) *fieldpath.Set {
	return applied.Leaves().Intersection(owned.Leaves())
}

// withMaps adds to fields the maps around them that were applied.
func withMaps(lost, applied *fieldpath.Set) *fieldpath.Set {
	all := lost.Copy()
	for field := range lost.All() {
		for length := 1; length < len(field); length++ {
			if applied.Has(field[:length]) {
				all.Insert(field[:length].Copy())
			}
		}
	}
	return all
}

// without removes fields from a set, and the maps in which nothing is left.
func without(owned, taken *fieldpath.Set) *fieldpath.Set {
	remaining := owned.Difference(taken)
	for {
		emptied := remaining.Leaves().Difference(owned.Leaves())
		if emptied.Empty() {
			return remaining
		}
		remaining = remaining.Difference(emptied)
	}
}

// addFields adds fields to the entry of their owner.
func addFields(entries []metav1.ManagedFieldsEntry, owner metav1.ManagedFieldsEntry, lost *fieldpath.Set) ([]metav1.ManagedFieldsEntry, error) {
	at := slices.IndexFunc(entries, func(entry metav1.ManagedFieldsEntry) bool { return sameOwner(entry, owner) })
	if at < 0 { // the patch took all fields that it had
		owner.FieldsV1 = nil
		at, entries = len(entries), append(entries, owner)
	}
	owned, err := parseFields(entries[at].FieldsV1)
	if err != nil {
		return nil, err
	}
	entries[at].FieldsV1, err = formatFields(owned.Union(lost))
	return entries, err
}

func sameOwner(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

// setFields sets the fields of an entry, and removes an entry without any.
func setFields(entries []metav1.ManagedFieldsEntry, at int, remaining *fieldpath.Set) (_ []metav1.ManagedFieldsEntry, err error) {
	if remaining.Empty() {
		return slices.Delete(entries, at, at+1), nil
	}
	entries[at].FieldsV1, err = formatFields(remaining)
	return entries, err
}

func parseFields(text *metav1.FieldsV1) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if text == nil {
		return set, nil
	}
	if err := set.FromJSON(bytes.NewReader(text.GetRawBytes())); err != nil {
		return nil, fmt.Errorf("read managedFields: %w", err)
	}
	return set, nil
}

func formatFields(set *fieldpath.Set) (*metav1.FieldsV1, error) {
	text, err := set.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("write managedFields: %w", err)
	}
	return metav1.NewFieldsV1(string(text)), nil
}
