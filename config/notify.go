package config

import (
	"errors"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// urlFile is the path of a file that has an address.
type urlFile filePath

// parseURLFile does not repeat the text: who writes the address itself here writes a
// secret.
func parseURLFile(text string) (urlFile, error) {
	path, err := parseFilePath(text)
	if err != nil {
		return "", errors.New("this is not a file path: write the absolute path of a file that has the address; the address itself is a secret, and everybody who may read the config would have it")
	}
	return urlFile(path), nil
}

// entryKind is a kind of entries of the journal.
type entryKind string

// entryKinds are all of them.
func entryKinds() []entryKind {
	var kinds []entryKind
	for _, kind := range journal.Kinds() {
		kinds = append(kinds, entryKind(kind))
	}
	return kinds
}

// maxNotify is how many addresses are told at most; each has a queue of its own.
const maxNotify = 20

// checkNotify refuses targets that tell nothing, and services that do not exist.
func checkNotify(r *report, root *yaml.Node, doc document) {
	list := find(root, "global", "notify")
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	at := (*place)(nil).field("global").field("notify")
	if len(list.Content) > maxNotify {
		r.add(list, at, "has %d targets; write at most %d", len(list.Content), maxNotify)
	}
	var names []string
	for _, s := range doc.Services {
		names = append(names, string(s.Name))
	}
	for i, target := range doc.Global.Notify {
		item := list.Content[i]
		if on := child(item, "on"); on != nil && on.Kind == yaml.SequenceNode && len(on.Content) == 0 {
			r.add(on, at.element(i).field("on"), "is empty, so nothing is ever sent; name kinds of entries, or leave on out")
		}
		for k, name := range target.Services {
			if name != "" && !slices.Contains(names, string(name)) {
				r.add(child(item, "services").Content[k], at.element(i).field("services").element(k),
					"%s is no service of this config%s", excerpt.Quoted(string(name)), probably(string(name), names))
			}
		}
	}
}

func (g global) notifyTargets() []migration.NotifyTarget {
	var built []migration.NotifyTarget
	for _, target := range g.Notify {
		one := migration.NotifyTarget{URLFile: string(target.URLFile), Format: target.Format, Services: slices.Clone(target.Services)}
		for _, kind := range target.On {
			one.On = append(one.On, string(kind))
		}
		slices.Sort(one.On)
		built = append(built, one)
	}
	return built
}
