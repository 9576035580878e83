package proxy

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// certRig is a rig whose new asks for a client certificate.
type certRig struct {
	*rig
	service       migration.Service
	authority     *testbed.Authority
	backend       *testbed.Backend
	ca, cert, key string
}

func newCertRig(t *testing.T, change ...func(*Options)) *certRig {
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("api.new.test")
	require.NoError(t, err)
	backend, err := testbed.Start(testbed.Options{Name: "new", Certificate: certificate, ClientCAs: authority.Pool()})
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	dir := t.TempDir()
	r := &certRig{
		rig: newRig(t), authority: authority, backend: backend,
		ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"),
	}
	settings := options(r.params)
	settings.CertInterval = 20 * time.Millisecond
	for _, one := range change {
		one(&settings)
	}
	r.Agent, err = New(t.Context(), settings)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(r.ca, authority.PEM(), 0o644))
	r.renew("one")
	r.service = service(t, "api", full, r.old, "https://"+backend.Addr())
	r.service.TLS = migration.TLS{Verify: true, CAFile: r.ca, ClientCertFile: r.cert, ClientKeyFile: r.key}
	return r
}

// renew writes another client certificate under the same names.
func (r *certRig) renew(name string) {
	r.t.Helper()
	client, err := r.authority.Client(name)
	require.NoError(r.t, err)
	cert, key, err := testbed.WritePair(r.t.TempDir(), name, client)
	require.NoError(r.t, err)
	require.NoError(r.t, os.Rename(cert, r.cert))
	require.NoError(r.t, os.Rename(key, r.key))
}

// waitForClient waits until new gets requests from a client.
func (r *certRig) waitForClient(name string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		r.get("api")
		requests := r.backend.Requests()
		return len(requests) > 0 && requests[len(requests)-1].Client == name
	}, 10*time.Second, 10*time.Millisecond, "new does not see client %s", name)
}

// TestRenewedCertificates: nginx uses them without an edit; files that cannot be
// used stop nothing, also if nginx is killed meanwhile.
func TestRenewedCertificates(t *testing.T) {
	t.Parallel()
	r := newCertRig(t)
	r.run()
	r.apply(r.service)
	r.waitForClient("one")
	reloads := r.Status().Nginx.Reloads
	r.renew("two")
	r.waitForClient("two")
	r.waitFor("the reload is counted", func(s status.Status) bool { return s.Nginx.Reloads > reloads })
	require.NoError(t, os.WriteFile(r.cert, []byte("garbage"), 0o600))
	state := r.waitFor("the broken file is reported", func(s status.Status) bool { return s.Services[0].New.CertificateProblem != "" })
	require.Contains(t, state.Services[0].New.CertificateProblem, "are not a certificate and its key")
	require.Nil(t, state.Config.Rejected)
	require.Equal(t, reloads+1, state.Nginx.Reloads, "one reload for the renewal, none for the broken file")
	master, err := os.FindProcess(state.Nginx.PID)
	require.NoError(t, err)
	require.NoError(t, master.Kill())
	r.waitFor("nginx runs again", func(s status.Status) bool { return s.Nginx.Restarts == 1 && s.Ready })
	r.waitForClient("two")
	share := r.service
	share.Share = full / 2
	more := r.service
	more.Name, more.OldHost = "more", "more.old.test"
	r.apply(share, more) // another edit is not held up
	r.apply(r.service)
	r.renew("three")
	r.waitForClient("three")
	require.Empty(t, r.Status().Services[0].New.CertificateProblem)
	copies, err := os.ReadDir(filepath.Join(r.params.RuntimeDir, "certs"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(copies), 5, "the pair and the two files with authorities, of this config and the one before")
}

// TestRenewalWhileNginxStalls: that nginx does not load a config in time, on a busy machine,
// says nothing about the files. They are tried again.
func TestRenewalWhileNginxStalls(t *testing.T) {
	t.Parallel()
	r := newCertRig(t, func(o *Options) { o.ReadbackTimeout = 200 * time.Millisecond })
	r.run()
	r.apply(r.service)
	r.waitForClient("one")
	master := r.Status().Nginx.PID
	require.NoError(t, syscall.Kill(master, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(master, syscall.SIGCONT) })
	r.renew("two")
	r.waitFor("a try that failed", func(s status.Status) bool {
		return s.Config.Rejected != nil || s.Services[0].New.CertificateProblem != ""
	})
	require.NoError(t, syscall.Kill(master, syscall.SIGCONT))
	r.waitForClient("two")
	r.waitFor("nothing is rejected", func(s status.Status) bool { return s.Config.Rejected == nil })
}

// TestCertificatesThatComeLater: a config that names a file which is not there yet
// comes in force when the file does.
func TestCertificatesThatComeLater(t *testing.T) {
	t.Parallel()
	r := newCertRig(t)
	r.run()
	r.apply(r.rig.service("other", 0))
	require.NoError(t, os.Remove(r.ca))
	r.ApplyTable(table(t, r.service), "test")
	state := r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Contains(t, state.Config.Rejected.Problems[0], r.ca)
	require.NoError(t, os.WriteFile(r.ca, r.authority.PEM(), 0o644))
	r.waitForClient("one")
	r.waitFor("nothing is rejected", func(s status.Status) bool { return s.Config.Rejected == nil && s.Ready })
}

// TestSystemCertificates: the bundle of the machine is followed too.
func TestSystemCertificates(t *testing.T) {
	t.Parallel()
	r := newCertRig(t)
	bundle, err := os.ReadFile(r.params.CAFile)
	require.NoError(t, err)
	r.service.TLS.CAFile = ""
	r.run()
	r.apply(r.service)
	require.Equal(t, "old", r.get("api"), "new is not trusted")
	require.NoError(t, os.WriteFile(r.params.CAFile, append(bundle, r.authority.PEM()...), 0o644))
	r.waitForClient("one")
}

// TestCertificatesThatNginxRefuses: Go skips what it cannot read in a file with
// authorities, and nginx refuses the file.
func TestCertificatesThatNginxRefuses(t *testing.T) {
	t.Parallel()
	r := newCertRig(t)
	r.run()
	r.apply(r.service)
	r.waitForClient("one")
	good, err := os.ReadFile(r.ca)
	require.NoError(t, err)
	broken := append(good, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...)
	require.NoError(t, os.WriteFile(r.ca, broken, 0o644))
	state := r.waitFor("the refused file is reported", func(s status.Status) bool { return s.Services[0].New.CertificateProblem != "" })
	require.Contains(t, state.Services[0].New.CertificateProblem, "nginx does not accept it")
	require.Nil(t, state.Config.Rejected)
	r.apply(r.rig.service("more", 0), r.service) // an edit comes in force
	r.waitForClient("one")
}
