package fieldowners

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const (
	manager = "migration-proxy"
	apply   = metav1.ManagedFieldsOperationApply
	update  = metav1.ManagedFieldsOperationUpdate
)

func entry(user string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: user, Operation: operation, APIVersion: "networking.k8s.io/v1", FieldsV1: metav1.NewFieldsV1(fields)}
}

type entries = []metav1.ManagedFieldsEntry

// Fields that somebody owns; a is an annotation of a user, ours one of the manager.
const (
	applied     = `{"f:metadata":{"f:annotations":{".":{},"f:a":{}}},"f:spec":{"f:rules":{}}}`
	annotations = `{"f:metadata":{"f:annotations":{".":{},"f:a":{}}}}`
	ownOnly     = `{"f:metadata":{"f:annotations":{".":{},"f:ours":{}}}}`
	ownAndRules = `{"f:metadata":{"f:annotations":{".":{},"f:ours":{}}},"f:spec":{"f:rules":{}}}`
	ownAndA     = `{"f:metadata":{"f:annotations":{".":{},"f:a":{},"f:ours":{}}}}`
	rules       = `{"f:spec":{"f:rules":{}}}`
)

// TestRestore works without an API server; TestServerSideApply of package
// watcher shows why it is needed.
func TestRestore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after, want entries }{
		"rules were taken": {
			entries{entry("gitops", apply, applied)},
			entries{entry("gitops", apply, annotations), entry(manager, update, ownAndRules)},
			entries{entry("gitops", apply, applied), entry(manager, update, ownOnly)},
		},
		"an annotation was taken, beside one that is the manager's": {
			entries{entry("gitops", apply, annotations)},
			entries{entry(manager, update, ownAndA)},
			entries{entry(manager, update, ownOnly), entry("gitops", apply, annotations)},
		},
		"an entry that lost all comes back, the manager's goes": {
			entries{entry("gitops", apply, rules)},
			entries{entry(manager, update, rules)},
			entries{entry("gitops", apply, rules)},
		},
		"a map in which nothing is left goes": {
			entries{entry("gitops", apply, annotations)},
			entries{entry(manager, update, applied)},
			entries{entry(manager, update, rules), entry("gitops", apply, annotations)},
		},
		"two users applied the same field": {
			entries{entry("one", apply, rules), entry("two", apply, applied)},
			entries{entry("two", apply, annotations), entry(manager, update, rules)},
			entries{entry("two", apply, applied), entry("one", apply, rules)},
		},
		"nobody applied": {
			entries{entry("kubectl", update, rules)}, entries{entry(manager, update, ownAndRules)}, nil,
		},
		"that both have annotations is no loss": {
			entries{entry("gitops", apply, annotations)},
			entries{entry("gitops", apply, annotations), entry(manager, update, ownAndRules)}, nil,
		},
		"an applied empty map is no loss": {
			entries{entry("gitops", apply, `{"f:metadata":{"f:annotations":{}}}`)},
			entries{entry(manager, update, ownOnly)}, nil,
		},
		"the manager owns nothing": {
			entries{entry("gitops", apply, rules)}, entries{entry("another", update, rules)}, nil,
		},
		"only the status is the manager's": {
			entries{entry("gitops", apply, rules)},
			entries{{Manager: manager, Operation: update, Subresource: "status", FieldsV1: metav1.NewFieldsV1(rules)}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restored, err := Restore(c.before, c.after, manager)
			require.NoError(t, err)
			require.Equal(t, c.want, restored)
		})
	}
}

func TestRestoreRefusesBrokenFields(t *testing.T) {
	t.Parallel()
	good, broken := entry("gitops", apply, `{"f:spec":{}}`), entry(manager, update, `{"f:spec":`)
	_, err := Restore(entries{good}, entries{broken}, manager)
	require.ErrorContains(t, err, "read managedFields: ")
	_, err = Restore(entries{entry("gitops", apply, `[`)}, entries{entry(manager, update, `{"f:spec":{}}`)}, manager)
	require.ErrorContains(t, err, "read managedFields: ")
}

// FuzzParseFields: what parses is written as a text that parses to the same
// set, and what a user applied is taken back completely.
func FuzzParseFields(f *testing.F) {
	f.Add(`{"f:metadata":{"f:annotations":{".":{},"f:a":{}}},"f:spec":{"f:rules":{}}}`)
	f.Add(`{"f:spec":{"f:ports":{"k:{\"port\":80}":{".":{},"f:port":{}}},"v:1":{},"i:0":{}}}`)
	f.Add(`{}`)
	f.Add(`{".":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		set, err := parseFields(metav1.NewFieldsV1(text))
		if err != nil {
			return
		}
		written, err := formatFields(set)
		require.NoError(t, err)
		again, err := parseFields(written)
		require.NoError(t, err)
		require.True(t, set.Equals(again), "%s and %s", text, written)
		require.True(t, without(set, takenFrom(set, set)).Empty(), "everything is taken")
		require.True(t, without(set, fieldpath.NewSet()).Equals(set), "nothing is taken")
	})
}
