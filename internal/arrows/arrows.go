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

// Package is the line of the table for one package. An import is written as
// our package's folder ("proxy/nginx"), as a folder with all that is below it
// ("proxy/..."), or as the path of somebody else's module ("gopkg.in/yaml.v3").
// The standard library may always be imported, except what Pure forbids.
type Package struct {
	// Imports is what the package may import. Every entry must be in use.
	Imports []string
	// Tests is what its test files may import as well. "..." is anything.
	Tests []string
	// Pure packages touch no client, file, clock, log or random source: outside
	// tests they may not import the packages in impure.
	Pure bool
}

// net and net/http are not here: migration parses addresses and cookies by them.
var impure = []string{
	"context", "crypto/rand", "database/sql", "io/ioutil", "log", "log/slog", "math/rand", "math/rand/v2",
	"os", "os/exec", "os/signal", "syscall", "testing",
}

// checker collects what Check finds.
type checker struct {
	tree  fs.FS
	table map[string]Package
	found []string
	used  map[string]bool // "package import" of the table
}

// Check gives one line, "file: import: why", for each import in the tree that
// the table does not allow, and one for each entry that no file needs. Folders
// named testdata or beginning with a dot are skipped, as the go command does;
// so are the folders in skip.
func Check(tree fs.FS, table map[string]Package, skip ...string) ([]string, error) {
	c := checker{tree: tree, table: table, used: map[string]bool{}}
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (skipped(entry.Name()) || slices.Contains(skip, file)):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		return c.file(file)
	})
	c.unused()
	slices.Sort(c.found)
	return c.found, err
}

func skipped(folder string) bool {
	return folder == "testdata" || folder != "." && strings.HasPrefix(folder, ".")
}

func (c *checker) file(file string) error {
	imports, err := importsOf(c.tree, file)
	if err != nil {
		return err
	}
	name, test := path.Dir(file), strings.HasSuffix(file, "_test.go")
	line, known := c.table[name]
	if !known {
		c.found = append(c.found, fmt.Sprintf("%s: the package %s has no line in the table", file, name))
		return nil
	}
	for _, target := range imports {
		switch {
		case line.Pure && !test && slices.Contains(impure, target):
			c.found = append(c.found, fmt.Sprintf("%s: %s: the package %s is pure", file, target, name))
		case !c.permitted(name, target, line, test):
			c.found = append(c.found, fmt.Sprintf("%s: %s: no arrow from %s", file, target, name))
		}
	}
	return nil
}

// permitted reports whether the package may import the target, and remembers
// which entry said so.
func (c *checker) permitted(name, target string, line Package, test bool) bool {
	own, isOwn := strings.CutPrefix(target, Module+"/")
	if !isOwn && standard(target) || own == name {
		return true
	}
	for _, entry := range line.Imports {
		if isOwn && matches(entry, own) || matches(entry+"/...", target) {
			c.used[name+" "+entry] = true
			return true
		}
	}
	return test && slices.ContainsFunc(line.Tests, func(entry string) bool {
		return entry == "..." || isOwn && matches(entry, own) || matches(entry+"/...", target)
	})
}

// matches reports whether the path is the entry, or below it if the entry ends
// with "/...".
func matches(entry, path string) bool {
	if folder, all := strings.CutSuffix(entry, "/..."); all {
		return path == folder || strings.HasPrefix(path, folder+"/")
	}
	return path == entry
}

func (c *checker) unused() {
	for name, line := range c.table {
		for _, entry := range line.Imports {
			if !c.used[name+" "+entry] {
				c.found = append(c.found, fmt.Sprintf("%s: no file imports %s: delete the entry", name, entry))
			}
		}
	}
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

// standard: only packages outside the standard library begin with a domain.
func standard(target string) bool {
	first, _, _ := strings.Cut(target, "/")
	return !strings.Contains(first, ".")
}
