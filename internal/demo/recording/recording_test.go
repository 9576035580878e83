package recording

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// requireXML: a browser takes an SVG in an img only if it is well-formed.
func requireXML(t *testing.T, svg []byte) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

// TestRecorder: each line comes when it was printed, also one that was written in parts.
func TestRecorder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := &Recorder{Out: &out}
		for _, text := range []string{"1. Begin\n   $ a <b> & c", "\n", strings.Repeat("x", columns+1) + "\n"} {
			_, err := io.WriteString(r, text)
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.Equal(t, 3, strings.Count(out.String(), "\n"), "it passes all on")
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, []time.Duration{r.lines[0].At, r.lines[1].At, r.lines[2].At})
		svg := r.SVG("a & b")
		requireXML(t, svg)
		text := string(svg)
		require.Contains(t, text, `class="t h" x="14" y="26">1. Begin<`)
		require.Contains(t, text, `class="t k" x="14" y="43">   $ a &lt;b&gt; &amp; c<`)
		require.Contains(t, text, "@keyframes c{0%{transform:translateY(0px)}0.000%{transform:translateY(17px)}12.500%{transform:translateY(34px)}25.000%{transform:translateY(68px)}}",
			"the long line is two lines, at once; 6 s of 8 are the last screen")
		require.Contains(t, text, ".c{transform:translateY(68px)}", "without motion all lines are there")
	})
}

// TestRecordingOfTheDemo: the picture in the README is whole, small, and loads nothing.
func TestRecordingOfTheDemo(t *testing.T) {
	t.Parallel()
	svg, err := os.ReadFile("../../../docs/demo.svg")
	require.NoError(t, err)
	requireXML(t, svg)
	require.Less(t, len(svg), 100_000)
	text := string(svg)
	require.Contains(t, text, ">Every claim held.<")
	require.NotContains(t, text, "WRONG ")
	for _, loads := range []string{"href", "src=", "@import", "url(h", "<script", "<image", "foreignObject"} {
		require.NotContains(t, text, loads)
	}
	require.Contains(t, text, style, "made by another version: make demo-recording")
}
