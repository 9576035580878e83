package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestLoaderIsLoad: whatever versions come one after the other, each loads as
// if it were the first, with the same table or the same problems.
func TestLoaderIsLoad(t *testing.T) {
	t.Parallel()
	var seeds []string
	files, err := filepath.Glob("../examples/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		seeds = append(seeds, string(text), bom+string(text), strings.ReplaceAll(string(text), "\n", "\r\n"))
	}
	pieces := []string{"", "0", "1", "20", "100", "101", "0.5", ".", "-1", "007", "1e1", " ", "\n", "#", ",", "x", "'20'", "99.99", "percentage: 3"}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(seeds).Draw(t, "seed")
		var loader Loader
		for range rapid.IntRange(1, 6).Draw(t, "versions") {
			got, gotErr := loader.Load("f", []byte(text))
			want, wantErr := Load("f", []byte(text))
			require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(gotErr), text)
			if wantErr == nil {
				require.Equal(t, want.Digest(), got.Digest(), text)
				require.Equal(t, want.Services(), got.Services(), text)
			}
			start := rapid.IntRange(0, len(text)).Draw(t, "anywhere")
			if at := strings.Index(text, "percentage: "); at >= 0 && rapid.IntRange(0, 4).Draw(t, "where") > 0 {
				start = at + len("percentage: ")
			}
			end := min(len(text), start+rapid.IntRange(0, 3).Draw(t, "length"))
			text = text[:start] + rapid.SampledFrom(pieces).Draw(t, "piece") + text[end:]
		}
	})
}

// TestLoaderTakesTheShortWay: else the test above would pass without any.
func TestLoaderTakesTheShortWay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../examples/original.yaml")
	require.NoError(t, err)
	var loader Loader
	_, err = loader.Load("f", text)
	require.NoError(t, err)
	for _, percentage := range []string{"5", "50", "100", "0", "0.25", "99.9", "20"} {
		next := strings.Replace(string(text), "percentage: 20", "percentage: "+percentage, 1)
		require.True(t, loader.edited([]byte(next)), percentage)
	}
	require.False(t, loader.edited([]byte(strings.Replace(string(text), "percentage: 20", "percentage: 101", 1))))
	require.False(t, loader.edited([]byte(strings.Replace(string(text), "retry_attempts: 3", "retry_attempts: 4", 1))))
}
