package controlplane

import "context"

// etcd listens on sockets in its working directory, which is also the API server's: no
// other process can take them, and relative names avoid the limit of 107 bytes for the
// path of a socket.
const (
	etcdURL  = "unix://etcd.sock"
	peersURL = "unix://etcd-peers.sock"

	etcdData = "etcd" // a folder
)

// startEtcd starts etcd. The API server waits until it is ready.
func (c *ControlPlane) startEtcd(context.Context) error {
	var err error
	c.etcd, err = startProgram(c.options.Dir, "etcd", "--data-dir", etcdData, "--unsafe-no-fsync",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", peersURL, "--initial-advertise-peer-urls", peersURL, "--initial-cluster", "default="+peersURL)
	return err
}
