package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"
)

// Webhooks are the objects by which the chart registers the webhooks, as
// deploy/install.yaml has them, for an installation in another namespace. Nothing
// implements Services here, so callers replace the addresses and the CA.
func Webhooks(namespace string) (*admissionregistrationv1.MutatingWebhookConfiguration, *admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	root, err := Repository()
	if err != nil {
		return nil, nil, err
	}
	manifests, err := os.ReadFile(filepath.Join(root, "deploy", "install.yaml"))
	if err != nil {
		return nil, nil, fmt.Errorf("read the webhooks of the chart: %w", err)
	}
	moved := strings.NewReplacer(
		"migration-proxy]", namespace+"]", // the values of namespaceSelector
		"serviceaccount:migration-proxy:", "serviceaccount:"+namespace+":",
		"namespace: migration-proxy\n", "namespace: "+namespace+"\n",
	).Replace(string(manifests))
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	for _, document := range strings.Split(moved, "\n---\n") {
		switch {
		case strings.Contains(document, "\nkind: MutatingWebhookConfiguration\n"):
			err = yaml.UnmarshalStrict([]byte(document), &mutating)
		case strings.Contains(document, "\nkind: ValidatingWebhookConfiguration\n"):
			err = yaml.UnmarshalStrict([]byte(document), &validating)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("parse the webhooks of the chart: %w", err)
		}
	}
	return &mutating, &validating, nil
}
