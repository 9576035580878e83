package accesslog

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Client is who sent a request, and for which service.
type Client struct {
	Service string `json:"service"`
	Address string `json:"remote_addr"`
	Agent   string `json:"user_agent"` // User-Agent, as the client chose it; "" for none
}

// ClientOf reads a line, as nginx or as a JSONWriter writes it; false for another line, and
// for a request of the agent itself, which no client has sent.
func ClientOf(line []byte) (Client, bool) {
	if !bytes.HasPrefix(line, []byte("{")) {
		line = AppendJSON(nil, line)
	}
	var object struct {
		Client
		Decision string `json:"decision"`
	}
	err := json.Unmarshal(line, &object)
	compared := strings.HasSuffix(object.Decision, "/"+string(migration.ReasonCompare))
	return object.Client, err == nil && object.Address != "" && !compared
}
