package controlplane

import (
	"context"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// startControllers starts kube-controller-manager and waits until the namespace
// default has its service account, without which no Pod can be created.
func (c *ControlPlane) startControllers(ctx context.Context) error {
	if !c.options.ControllerManager {
		return nil
	}
	file := func(name string) string { return filepath.Join(c.options.Dir, name) }
	controllers, err := startProgram(c.options.Dir, "kube-controller-manager",
		"--kubeconfig="+c.kubeconfig,
		// There is no cloud that assigns networks to nodes, and the node sends no heartbeats.
		"--controllers=*,-nodeipam,-nodelifecycle",
		"--leader-elect=false", "--secure-port=0",
		"--root-ca-file="+file("ca.pem"), "--service-account-private-key-file="+file("sa-key.pem"),
		"--kube-api-qps=200", "--kube-api-burst=400")
	if err != nil {
		return err
	}
	c.clients = append(c.clients, controllers)
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	return controllers.waitUntilReady(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}
