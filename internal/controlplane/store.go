package controlplane

import "context"

// What etcd listens on: sockets in its working directory, which is also the
// API server's. No port that somebody else could take, and no limit of 107
// bytes for the whole path.
const (
	storeURL = "unix://etcd.sock"
	peersURL = "unix://etcd-peers.sock"

	storeData = "etcd" // a folder
)

// startStore starts etcd. It is the API server that waits for it.
func (c *ControlPlane) startStore(context.Context) error {
	var err error
	c.store, err = launch(c.options.Dir, "etcd", "--data-dir", storeData, "--unsafe-no-fsync",
		"--listen-client-urls", storeURL, "--advertise-client-urls", storeURL,
		"--listen-peer-urls", peersURL, "--initial-advertise-peer-urls", peersURL, "--initial-cluster", "default="+peersURL)
	return err
}
