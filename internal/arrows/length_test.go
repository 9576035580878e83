package arrows

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// longestPure is how many lines a function of a pure package may have.
// golangci-lint has one limit for all packages (60).
const longestPure = 40

func TestFunctionsOfPurePackagesAreShort(t *testing.T) {
	t.Parallel()
	for name, line := range table {
		if !line.Pure {
			continue
		}
		found, err := longFunctions(os.DirFS(filepath.Join("../..", name)), longestPure)
		require.NoError(t, err)
		require.Empty(t, found, "in %s, which is pure: split these functions", name)
	}
}

func TestLongFunctionsAreFound(t *testing.T) {
	t.Parallel()
	found, err := longFunctions(os.DirFS("testdata"), 3)
	require.NoError(t, err)
	require.Equal(t, []string{"long.go:5: tooLong has 4 lines"}, found)
}

// longFunctions gives one line, "file:line: name has n lines", for each function
// outside tests that is longer than the limit.
func longFunctions(dir fs.FS, limit int) ([]string, error) {
	files, err := fs.Glob(dir, "*.go")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, text, 0)
		if err != nil {
			return nil, err
		}
		for _, declaration := range parsed.Decls {
			function, is := declaration.(*ast.FuncDecl)
			if !is {
				continue
			}
			first, last := positions.Position(function.Pos()), positions.Position(function.End())
			if lines := last.Line - first.Line + 1; lines > limit {
				found = append(found, fmt.Sprintf("%s:%d: %s has %d lines", file, first.Line, function.Name.Name, lines))
			}
		}
	}
	return found, nil
}
