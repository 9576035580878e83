package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// TestClusterScripts runs testdata/cluster/*.txtar: what a user types who has
// a cluster, with kubectl beside it. Each script has a namespace of its own,
// $NAMESPACE. It may use the words of TestScripts, and these:
//
//	replica NAME     start a proxy that is an endpoint of the Service; its
//	                 traffic comes in at $MIGRATION_PROXY_LISTEN
//	stop NAME        end its process; it is an endpoint still
//	start NAME       start it again, with what it remembers
//	page PATTERN PATH   the page of the command ui matches, for its user alone
func TestClusterScripts(t *testing.T) {
	t.Parallel()
	kubectl, err := controlplane.Program("kubectl")
	require.NoError(t, err)
	all := map[string]func(*testscript.TestScript, bool, []string){"replica": replicaUp, "stop": replicaStop, "start": replicaStart, "page": pageUp}
	for name, word := range words {
		all[name] = word
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/cluster",
		Setup:               func(env *testscript.Env) error { return prepareSite(env, filepath.Dir(kubectl)) },
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                all,
	})
}

// sites are those of all scripts, by namespace.
var sites sync.Map

func prepareSite(env *testscript.Env, programs string) error {
	s, err := newSite(context.Background())
	if errors.Is(err, errNoAddress) {
		env.T().Skip(err)
	}
	if err != nil {
		return err
	}
	sites.Store(s.namespace, s)
	env.Defer(func() { env.T().Log(s.close()) })
	env.Setenv("NAMESPACE", s.namespace)
	env.Setenv("MIGRATION_PROXY_NAMESPACE", s.namespace)
	env.Setenv("KUBECONFIG", s.plane.Kubeconfig())
	env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+programs)
	return nil
}

func siteOf(ts *testscript.TestScript) *site {
	found, ok := sites.Load(ts.Getenv("NAMESPACE"))
	if !ok {
		ts.Fatalf("no such site")
	}
	return found.(*site)
}

func replicaUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: replica NAME")
	}
	r, err := siteOf(ts).replica(context.Background(), args[0])
	ts.Check(err)
	ts.Setenv(environmentPrefix+"LISTEN", r.listen)
}

func replicaStop(ts *testscript.TestScript, _ bool, args []string) {
	siteOf(ts).replicas[args[0]].stop()
}

func replicaStart(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(siteOf(ts).start(args[0]))
}
