package faults

import (
	"fmt"
	"os/exec"
	"sync"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// nginxVersion is the version of the nginx under test.
var nginxVersion = sync.OnceValue(func() nginxgen.Version {
	out, err := exec.Command(testbed.Nginx(), "-v").CombinedOutput()
	if err == nil {
		var version nginxgen.Version
		if version, err = nginxgen.ParseVersion(string(out)); err == nil {
			return version
		}
	}
	panic(fmt.Sprintf("nginx -v: %v: %s", err, out))
})
