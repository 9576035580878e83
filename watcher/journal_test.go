package watcher_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// TestJournal: everything that happens in a migration is in the journal, once, also when
// the leader changes in the middle.
func TestJournal(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 5}))
	stop := env.startWatcher()
	env.waitForEntries("api percentage 5")
	env.createIngress(env.newIngress("api"))
	opted := "api Ingress opted in (" + env.app + "/api) by unknown (watcher.test)"
	env.waitForEntries("api percentage 5", opted, "api Ingress points at the proxy ("+env.app+"/api)")

	before := env.servicesConfig(map[string]int{"api": 5})
	after := env.servicesConfig(map[string]int{"api": 25})
	env.leaveNote(journal.Note{
		At: time.Now(), Object: journal.ConfigObject, From: journal.TextDigest(before), To: journal.TextDigest(after), By: "alice (kubectl-edit)",
	})
	env.writeConfig(after)
	env.waitForLast("api percentage 5 -> 25 by alice (kubectl-edit)")
	require.Equal(t, "api percentage 5 -> 25 by alice (kubectl-edit)", env.waitForEvent(env.home, names.ConfigMap, events.Changed).Note)

	stop()
	env.writeConfig(env.servicesConfig(map[string]int{"api": 50})) // while nobody leads, and without a note
	env.startWatcher()
	env.waitForLast("api percentage 25 -> 50 by unknown (watcher.test)")

	env.reportPhase(1, status.FallenBack, "5 failures in 60s")
	env.waitForText("fell back to old")
	env.reportPhase(1, status.Migrating, "")
	env.waitForText("traffic goes through the proxy again, after FallenBack")

	env.putConfigMap(env.configMap("services: 7"))
	env.waitForText("config rejected, the last valid one stays in force by unknown (watcher.test)")
	env.writeConfig(env.servicesConfig(map[string]int{"api": 50}))
	env.waitForText("config accepted again")
	env.annotate("api", ingressgen.AnnotationEnabled, `"false"`)
	env.waitForText("Ingress opted out")

	entries := env.journalEntries()
	for i := 1; i < len(entries); i++ {
		require.Equal(t, entries[i-1].ID+1, entries[i].ID, "nothing is written twice or left out")
	}
	for _, text := range []string{"percentage 5", "percentage 5 -> 25", "percentage 25 -> 50", "fell back to old"} {
		require.Equal(t, 1, env.countEntries(text), text)
	}
}

// TestTwoLeaders: while two watchers lead, what both see of an Ingress is in the journal
// once.
func TestTwoLeaders(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 5}))
	stopOne, stopOther := env.startWatcher(), env.startWatcher()
	env.waitForEntries("api percentage 5")
	env.createIngress(env.newIngress("api"))
	env.waitForText("Ingress points at the proxy")
	env.annotate("api", ingressgen.AnnotationEnabled, `"false"`)
	env.waitForText("Ingress points at old")
	env.annotate("api", ingressgen.AnnotationEnabled, `"true"`)
	again := func() bool {
		return env.countEntries("Ingress opted in") >= 2 && env.countEntries("Ingress points at the proxy") >= 2
	}
	env.eventually(again, "it opts in again")
	stopOne() // a watcher that ends writes what it has left
	stopOther()
	for text, times := range map[string]int{
		"percentage 5": 1, "Ingress opted in": 2, "Ingress opted out": 1, "Ingress points at the proxy": 2, "Ingress points at old": 1,
	} {
		require.Equal(t, times, env.countEntries(text), "%s: %v", text, env.journalEntries())
	}
}

// TestJournalIsMadeAgain: somebody deletes it or writes nonsense into it.
func TestJournalIsMadeAgain(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 5}))
	env.startWatcher()
	env.waitForEntries("api percentage 5")
	require.NoError(t, env.client.CoreV1().ConfigMaps(env.home).Delete(t.Context(), names.JournalMap, metav1.DeleteOptions{}))
	env.writeConfig(env.servicesConfig(map[string]int{"api": 10}))
	env.waitForText("percentage 10")
	env.patchConfigMap(names.JournalMap, `{"data":{"`+journal.EntriesKey+`":"no","`+journal.KnownKey+`":"no"}}`)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.waitForText("percentage 20")
}

func (env *testEnv) journalEntries() []journal.Entry {
	env.Helper()
	found, err := env.client.CoreV1().ConfigMaps(env.home).Get(env.Context(), names.JournalMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(env, err)
	all, err := journal.Parse(found.Data[journal.EntriesKey])
	if err != nil {
		return nil
	}
	return all.Entries
}

func (env *testEnv) countEntries(what string) (count int) {
	env.Helper()
	for _, entry := range env.journalEntries() {
		if entry.What == what {
			count++
		}
	}
	return count
}

// waitForEntries waits until the journal has exactly these sentences.
func (env *testEnv) waitForEntries(sentences ...string) {
	env.Helper()
	require.EventuallyWithT(env, func(c *assert.CollectT) {
		texts := []string{}
		for _, entry := range env.journalEntries() {
			texts = append(texts, entry.String())
		}
		require.Equal(c, sentences, texts)
	}, maxWait, 20*time.Millisecond)
}

func (env *testEnv) waitForLast(sentence string) {
	env.Helper()
	require.EventuallyWithT(env, func(c *assert.CollectT) {
		entries := env.journalEntries()
		require.NotEmpty(c, entries)
		require.Equal(c, sentence, entries[len(entries)-1].String())
	}, maxWait, 20*time.Millisecond)
}

// waitForText waits for an entry with a text in its sentence.
func (env *testEnv) waitForText(text string) {
	env.Helper()
	require.EventuallyWithT(env, func(c *assert.CollectT) {
		all := ""
		for _, entry := range env.journalEntries() {
			all += entry.String() + "\n"
		}
		require.Contains(c, all, text)
	}, maxWait, 20*time.Millisecond)
}

// leaveNote writes what a webhook replica leaves.
func (env *testEnv) leaveNote(note journal.Note) {
	env.Helper()
	text, err := journal.FormatNotes([]journal.Note{note})
	require.NoError(env, err)
	env.putConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.AuditMap}, Data: map[string]string{"replica-1.json": text}})
}
