package nginxgen_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/nginxgen"
)

func TestHoles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"1.19.5": {"nginx-1.21.1", "CVE-2023-44487", "CVE-2026-1642", "CVE-2026-42533"},
		"1.22.1": {"CVE-2023-44487", "CVE-2026-1642", "CVE-2026-42533"},
		"1.28.1": {"CVE-2026-1642", "CVE-2026-42533"},
		"1.28.2": {"CVE-2026-42533"},
		"1.28.3": {"CVE-2026-42533"},
		"1.29.4": {"CVE-2026-1642", "CVE-2026-42533"},
		"1.29.5": {"CVE-2026-42533"},
		"1.30.3": {"CVE-2026-42533"},
		"1.30.4": nil,
		"1.31.2": {"CVE-2026-42533"},
		"1.31.3": nil,
		"1.32.0": nil,
		"2.0.0":  nil,
	} {
		version, err := nginxgen.ParseVersion("nginx/" + text)
		require.NoError(t, err)
		var got []string
		for _, hole := range version.Holes() {
			got = append(got, hole.ID)
			require.NotEmpty(t, hole.What)
		}
		require.Equal(t, want, got, text)
	}
	require.Empty(t, nginxgen.Recommended.Holes())
}

// TestHolesNeedDirectivesOfOurs shows for all golden configs that holes which are not
// listed need directives that no config has.
func TestHolesNeedDirectivesOfOurs(t *testing.T) {
	t.Parallel()
	unlisted := regexp.MustCompile(`(?m)^\s*(rewrite|alias|resolver|slice|charset_map|ssi|mp4|ssl_ocsp|proxy_set_body|proxy_cache_background_update|http3|quic[a-z_]*|scgi_pass|uwsgi_pass)\s`)
	for _, c := range loadCases(t) {
		for _, version := range []nginxgen.Version{debian, nginxgen.Recommended} {
			text := string(c.generate(t, version).Text)
			require.Empty(t, unlisted.FindAllString(text, -1), c.dir)
			// CVE-2026-42055 needs a header of more than 2 MB.
			require.Regexp(t, `(?m)^\s*large_client_header_buffers 4 32k;$`, text)
		}
	}
	require.True(t, slices.ContainsFunc(debian.Holes(), func(h nginxgen.Hole) bool { return h.ID == "CVE-2026-42533" }))
}
