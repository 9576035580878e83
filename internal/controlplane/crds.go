package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// definitions are the installed CRDs. (envtest also installs CRDs, but its import alone
// creates a folder in /tmp.)
type definitions struct {
	client dynamic.ResourceInterface
	names  []string
}

// InstallCRDs creates the CRDs of YAML files, one in each, and waits until they are served.
func (c *ControlPlane) InstallCRDs(ctx context.Context, files ...string) error {
	client, err := dynamic.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	all := newDefinitions(client)
	for _, file := range files {
		if err := all.create(ctx, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return c.apiserver.waitUntilReady(ctx, all.served)
}

func newDefinitions(client dynamic.Interface) *definitions {
	return &definitions{client: client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	})}
}

// installCRDs creates the CRDs of a folder, one in each YAML file.
func installCRDs(ctx context.Context, client dynamic.Interface, folder string) (*definitions, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no YAML files: run `make controlplane`", folder)
	}
	all := newDefinitions(client)
	for _, file := range files {
		if err := all.create(ctx, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return all, nil
}

func (d *definitions) create(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	definition := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &definition.Object); err != nil {
		return err
	}
	d.names = append(d.names, definition.GetName())
	_, err = d.client.Create(ctx, definition, metav1.CreateOptions{})
	return err
}

// served gives an error until all CRDs are established.
func (d *definitions) served(ctx context.Context) error {
	for _, name := range d.names {
		definition, err := d.client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !has(definition, "Established") {
			return fmt.Errorf("%s is not established", name)
		}
	}
	return nil
}

// has tells whether a condition of an object is true.
func has(object *unstructured.Unstructured, kind string) bool {
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return false
	}
	for _, one := range conditions {
		if condition, is := one.(map[string]any); is && condition["type"] == kind {
			return condition["status"] == "True"
		}
	}
	return false
}
