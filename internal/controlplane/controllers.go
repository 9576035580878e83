package controlplane

import (
	"context"
	"fmt"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// startControllers starts kube-controller-manager and waits until a Pod may
// be created: until the namespace default has its service account.
func (c *ControlPlane) startControllers(ctx context.Context) error {
	if !c.options.ControllerManager {
		return nil
	}
	file := func(name string) string { return filepath.Join(c.options.Dir, name) }
	controllers, err := launch(c.options.Dir, "kube-controller-manager",
		"--kubeconfig="+c.kubeconfig,
		// No cloud gives nodes their networks, and our node never goes away.
		"--controllers=*,-nodeipam,-nodelifecycle",
		"--leader-elect=false", "--secure-port=0",
		"--root-ca-file="+file("ca.crt"), "--service-account-private-key-file="+file("sa.key"),
		"--kube-api-qps=200", "--kube-api-burst=400")
	if err != nil {
		return err
	}
	c.others = append(c.others, controllers)
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	return controllers.until(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// startCertManager installs the CRDs, which `make controlplane` puts next to
// the program, and starts it.
func (c *ControlPlane) startCertManager(ctx context.Context) error {
	if !c.options.CertManager {
		return nil
	}
	path, err := Program("cert-manager")
	if err != nil {
		return err
	}
	kinds, err := installCRDs(ctx, c.Config(), filepath.Join(filepath.Dir(path), "crds"))
	if err != nil {
		return fmt.Errorf("install cert-manager's CRDs: %w", err)
	}
	manager, err := launch(c.options.Dir, "cert-manager", "--kubeconfig="+c.kubeconfig)
	if err != nil {
		return err
	}
	c.others = append(c.others, manager)
	return manager.until(ctx, func(ctx context.Context) error { return kinds.served(ctx) })
}
