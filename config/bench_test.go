package config_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/stretchr/testify/require"
)

func BenchmarkLoad(b *testing.B) {
	for _, services := range []int{1000, 5000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			text := manyServices(services)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, err := config.Load("many.yaml", text)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkSetPercentage(b *testing.B) {
	text := manyServices(5000)
	for b.Loop() {
		_, err := config.SetPercentage("many.yaml", text, "service-4999", 1)
		require.NoError(b, err)
	}
}

// BenchmarkSyntaxError has the error in the last line: the worst case for the search.
func BenchmarkSyntaxError(b *testing.B) {
	text := append(manyServices(5000), "\t- x\n"...)
	for b.Loop() {
		_, err := config.Load("many.yaml", text)
		require.Error(b, err)
	}
}

// manyServices gives a config with n services, about 230 bytes each.
func manyServices(n int) []byte {
	var text bytes.Buffer
	text.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&text, `  - name: service-%[1]d
    old_host: service-%[1]d.example.com
    old_backend: service-%[1]d.team.svc:8080
    new_host: service-%[1]d.new.example.com
    new_backend: service-%[1]d.new.example.com:443
    migration: {enabled: true, percentage: 20}
`, i)
	}
	return text.Bytes()
}
