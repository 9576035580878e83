package world

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithAndWithout(t *testing.T) {
	t.Parallel()
	const a, b, c = "  - name: a\n    x: 1\n", "  - name: b\n    x: 2\n", "  - name: a-b\n    x: 3\n"
	text := With(configEmpty, "a", a)
	require.Equal(t, "services:\n"+a, text)
	text = With(With(text, "b", b), "a-b", c)
	require.Equal(t, "services:\n"+a+b+c, text)
	changed := With(text, "b", "  - name: b\n    x: 9\n")
	require.Equal(t, "services:\n"+a+"  - name: b\n    x: 9\n"+c, changed)
	require.Equal(t, "services:\n"+a+c, without(text, "b"))
	require.Equal(t, text, without(text, "nobody"))
	require.Equal(t, configEmpty, without(without(without(text, "a"), "b"), "a-b"))
	require.Equal(t, "global: {}\nservices:\n"+a, With("global: {}\n"+configEmpty, "a", a))
}

func TestLabelIsAName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "splitsasconfigured-at-50", label("TestSplitsAsConfigured/at_50"))
}
