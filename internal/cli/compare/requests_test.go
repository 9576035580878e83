package compare

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/config"
)

// TestReadLog: each format of a log gives the same requests.
func TestReadLog(t *testing.T) {
	t.Parallel()
	table, err := config.Load("migration.yaml", []byte("services: [{name: shop, old_host: shop.example.com, old_backend: 'a:80', new_host: b.example.com, new_backend: 'https://b.example.com'}]"))
	require.NoError(t, err)
	for name, log := range map[string]string{
		"text": `192.0.2.1 - - [01/Jan/2024:12:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 12 backend="old_backend" decision="bucket/1/2" host="shop.example.com" request_id="7f"
192.0.2.1 - - [01/Jan/2024:12:00:00 +0000] "GET /b HTTP/1.1" 200 12 backend="old_backend" decision="old/compare" host="shop.example.com" request_id="7f"
192.0.2.1 - - [01/Jan/2024:12:00:00 +0000] "GET /c HTTP/1.1" 200 12 backend="old_backend" decision="bucket/1/2" host="other.example.com" request_id="7f"
2024/01/01 12:00:00 [error] no request`,
		"json": `{"method":"GET","target":"/a?b=c","status":200,"decision":"bucket/1/2","host":"shop.example.com","request_id":"7f"}
{"method":"GET","target":"/b","decision":"new/compare","host":"shop.example.com"}
{"method":"GET","target":"/c","host":"other.example.com"}
{"time":"2024","level":"INFO","msg":"GET /d"}`,
	} {
		r := newRequests(table.Service("shop"), nil)
		require.NoError(t, r.readLog(strings.NewReader(log)), name)
		require.Equal(t, []compare.Request{{Method: "GET", Host: "shop.example.com", Target: "/a?b=c", ID: "7f"}}, r.chosen, name)
		require.Equal(t, 1, r.foreign, name)
	}
}
