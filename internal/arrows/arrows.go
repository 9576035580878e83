package arrows

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the path that our own imports begin with.
const Module = "github.com/migration-proxy/migration-proxy"

// Anything in a list of allowed imports allows all of them.
const Anything = "*"

// Room is the line of the table for one top-level folder.
type Room struct {
	// Imports names our rooms ("migration") and other people's modules
	// ("gopkg.in/yaml.v3") that may be imported. The standard library always
	// may, but for what Pure forbids.
	Imports []string
	// Tests is what test files may import besides.
	Tests []string
	// Pure rooms touch no client, file, clock, log or random source: outside
	// tests they may not import the packages in impure.
	Pure bool
}

// net and net/http are not here: migration parses addresses and cookies by them.
var impure = []string{
	"context", "crypto/rand", "database/sql", "io/ioutil", "log", "log/slog", "math/rand", "math/rand/v2",
	"os", "os/exec", "os/signal", "syscall", "testing",
}

// Check gives one line, "file: import: why", for each import in the tree that
// the table does not allow. Folders named testdata or beginning with a dot,
// and other modules, are skipped, as the go command does.
func Check(tree fs.FS, table map[string]Room) ([]string, error) {
	var found []string
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (skipped(entry.Name()) || otherModule(tree, file)):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		imports, err := importsOf(tree, file)
		found = append(found, refused(file, imports, table)...)
		return err
	})
	slices.Sort(found)
	return found, err
}

func skipped(folder string) bool {
	return folder == "testdata" || folder != "." && strings.HasPrefix(folder, ".")
}

func otherModule(tree fs.FS, folder string) bool {
	_, err := fs.Stat(tree, path.Join(folder, "go.mod"))
	return folder != "." && err == nil
}

func importsOf(tree fs.FS, file string) ([]string, error) {
	text, err := fs.ReadFile(tree, file)
	if err != nil {
		return nil, fmt.Errorf("read imports: %w", err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("read imports: %w", err)
	}
	var imports []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("read imports of %s: %w", file, err)
		}
		imports = append(imports, name)
	}
	return imports, nil
}

func refused(file string, imports []string, table map[string]Room) []string {
	name, _, _ := strings.Cut(file, "/")
	room, known := table[name]
	if !known {
		return []string{fmt.Sprintf("%s: the room %s has no line in the table", file, name)}
	}
	allowed, test := room.Imports, strings.HasSuffix(file, "_test.go")
	if test {
		allowed = slices.Concat(room.Imports, room.Tests)
	}
	var found []string
	for _, target := range imports {
		switch {
		case room.Pure && !test && slices.Contains(impure, target):
			found = append(found, fmt.Sprintf("%s: %s: the room %s is pure", file, target, name))
		case !permitted(name, target, allowed):
			found = append(found, fmt.Sprintf("%s: %s: no arrow from %s", file, target, name))
		}
	}
	return found
}

func permitted(room, target string, allowed []string) bool {
	if slices.Contains(allowed, Anything) || standard(target) {
		return true
	}
	if own, ok := strings.CutPrefix(target, Module+"/"); ok {
		other, _, _ := strings.Cut(own, "/")
		return other == room || slices.Contains(allowed, other)
	}
	return slices.ContainsFunc(allowed, func(module string) bool {
		return target == module || strings.HasPrefix(target, module+"/")
	})
}

// standard: only packages outside the standard library begin with a domain.
func standard(target string) bool {
	first, _, _ := strings.Cut(target, "/")
	return !strings.Contains(first, ".")
}
