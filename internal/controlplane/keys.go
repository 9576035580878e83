package controlplane

import (
	"context"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// makeKeys writes ca.pem, and NAME.pem with NAME-key.pem for server, the certificate
// of the API server, and for sa, which signs service account tokens.
func (c *ControlPlane) makeKeys(context.Context) error {
	var err error
	if c.authority, err = testbed.NewAuthority(); err != nil {
		return err
	}
	if _, err := c.authority.WriteCA(c.options.Dir); err != nil {
		return err
	}
	for file, names := range map[string][]string{
		"server": {
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			"localhost", loopback.String(), c.options.Address.String(), firstServiceAddress,
		},
		"sa": {"service-accounts"},
	} {
		certificate, err := c.authority.Server(names...)
		if err != nil {
			return err
		}
		if _, _, err := testbed.WritePair(c.options.Dir, file, certificate); err != nil {
			return err
		}
	}
	return nil
}
