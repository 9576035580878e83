package excerpt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

func TestOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, "abc", excerpt.Of("abc", 3))
	require.Equal(t, "a ...", excerpt.Of("abcdef", 5))
	require.Equal(t, " .", excerpt.Of("abcdef", 2))
	require.Empty(t, excerpt.Of("abcdef", 0))
	require.Equal(t, "a ...", excerpt.Of("aäää", 6), "no half characters")
}

func TestHead(t *testing.T) {
	t.Parallel()
	require.Equal(t, "abc", excerpt.Head("abc", 3))
	require.Equal(t, "ab", excerpt.Head("abc", 2))
	require.Equal(t, "a", excerpt.Head("aä", 2), "no half characters")
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	require.Equal(t, `"a\nb"`, excerpt.Quoted("a\nb"))
	long := strings.Repeat("a", 80)
	require.Equal(t, `"`+long+`"`, excerpt.Quoted(long))
	require.Equal(t, `"`+long+`"... (81 bytes)`, excerpt.Quoted(long+"a"))
	require.Equal(t, `"`+long[:79]+`"... (81 bytes)`, excerpt.Quoted(long[:79]+"ä"), "no half characters")
}
