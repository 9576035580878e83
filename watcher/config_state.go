package watcher

import (
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// configState is the migration config: the newest version, and the last valid
// one, which is in force. Only the state loop uses it.
type configState struct {
	source kube.NamedConfigMap
	store  *stateStore // with the config that the last leader found valid
	events *events.Writer
	log    *slog.Logger

	known     bool              // the API server has answered once
	configMap *corev1.ConfigMap // the newest version; nil: it does not exist
	loaded    bool              // configMap was loaded
	digest    string            // journal.TextDigest of the newest version
	table     *migration.Table  // the last valid one; nil: none ever was
	text      string            // the text of table
	since     time.Time         // when table was new
	rejected  string            // why the newest version is not in force; "": it is
	warned    string            // the warnings of the last Event
}

// take notes the newest version of the ConfigMap.
func (c *configState) take(configMap *corev1.ConfigMap) {
	c.known, c.configMap, c.loaded = true, configMap, false
}

// load loads the newest version, once. The last valid one stays in force while
// the newest is not valid.
func (c *configState) load() {
	if c.loaded {
		return
	}
	c.loaded = true
	text, err := c.source.ConfigText(c.configMap)
	c.digest = journal.TextDigest(string(text))
	var table *migration.Table
	if err == nil {
		table, err = config.Load(c.source.String(), text)
	}
	if err != nil {
		c.reject(err)
		return
	}
	c.accept(table, string(text))
	c.warn(strings.Join(kube.ConfigWarnings(c.configMap), "; "))
}

// warn writes an Event for warnings that differ from those of the last Event: the
// ConfigMap may have come past admission.
func (c *configState) warn(text string) {
	if text == c.warned {
		return
	}
	c.warned = text
	if text != "" {
		c.log.Warn("migration config has surprises", "configmap", c.source.String(), "warnings", text)
		c.events.Write(c.configMap, events.Warning(events.RewrittenWithWarnings, text))
	}
}

func (c *configState) accept(table *migration.Table, text string) {
	first := c.table == nil
	changed := first || c.table.Digest() != table.Digest()
	if changed {
		c.since = time.Now()
	}
	stored, _ := c.store.lastGood()
	if changed && !(first && stored == text) { // the last leader has announced the stored one
		c.log.Info("migration config accepted", "configmap", c.source.String(), "digest", table.Digest(), "services", len(table.Services()))
		c.events.Write(c.configMap, events.Normal(events.ConfigAccepted, "the migration config is valid; digest "+table.Digest()))
	}
	c.table, c.text, c.rejected = table, text, ""
}

func (c *configState) reject(err error) {
	if c.table == nil {
		c.loadStored()
	}
	if c.rejected == err.Error() {
		return
	}
	c.rejected = err.Error()
	c.log.Warn("migration config rejected, the last valid one stays in force", "configmap", c.source.String(), "error", err)
	if c.configMap == nil {
		return // no object to write an Event on
	}
	c.events.Write(c.configMap, events.Warning(events.ConfigRejected, "the last valid migration config stays in force: "+err.Error()))
}

// loadStored loads the config that the last leader stored as the last good one.
func (c *configState) loadStored() {
	text, ok := c.store.lastGood()
	if !ok {
		return
	}
	table, err := config.Load(c.store.source.Name+" "+status.LastGoodKey, []byte(text))
	if err != nil {
		c.log.Warn("stored migration config is not valid", "configmap", c.store.source.String(), "key", status.LastGoodKey, "error", err)
		return
	}
	c.table, c.text, c.since = table, text, time.Now()
}
