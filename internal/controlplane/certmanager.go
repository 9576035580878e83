package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// startCertManager installs the CRDs, which make controlplane puts next to the
// program, starts cert-manager and waits until it works.
func (c *ControlPlane) startCertManager(ctx context.Context) error {
	if !c.options.CertManager {
		return nil
	}
	path, err := Program("cert-manager")
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	kinds, err := installCRDs(ctx, client, filepath.Join(filepath.Dir(path), "crds"))
	if err != nil {
		return fmt.Errorf("install cert-manager's CRDs: %w", err)
	}
	manager, err := startProgram(c.options.Dir, "cert-manager", "--kubeconfig="+c.kubeconfig)
	if err != nil {
		return err
	}
	c.clients = append(c.clients, manager)
	issuers := client.Resource(schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "issuers"})
	return manager.waitUntilReady(ctx, func(ctx context.Context) error {
		if err := kinds.served(ctx); err != nil {
			return err
		}
		return checkIssuer(ctx, issuers.Namespace(metav1.NamespaceDefault))
	})
}

// checkIssuer creates an issuer and gives an error until cert-manager reports that it
// is ready. Then it removes the issuer.
func checkIssuer(ctx context.Context, issuers dynamic.ResourceInterface) error {
	const name = "startup-check"
	_, err := issuers.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"selfSigned": map[string]any{}},
	}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	issuer, err := issuers.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !has(issuer, "Ready") {
		return errors.New("an issuer is not ready")
	}
	return issuers.Delete(ctx, name, metav1.DeleteOptions{})
}
