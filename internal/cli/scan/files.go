package scan

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/scan"
)

// files is a Source: manifests.
type files struct {
	paths []string
	stdin io.Reader
}

// FromFiles scans the manifests in files, in all files of folders that end with .yaml,
// .yml or .json, and for "-" in standard input.
func FromFiles(paths []string, stdin io.Reader) Source { return files{paths, stdin} }

// read implements Source.
func (f files) read(context.Context) (scanned, error) {
	read := scanned{sources: map[int]string{}}
	read.objects.Services = map[types.NamespacedName]*corev1.Service{}
	for _, path := range f.paths {
		if err := f.readPath(path, &read); err != nil {
			return read, err
		}
	}
	if len(read.objects.Classes) == 0 {
		read.objects.Classes = []*networkingv1.IngressClass{{
			ObjectMeta: metav1.ObjectMeta{Name: "nginx"}, Spec: networkingv1.IngressClassSpec{Controller: ingressgen.ControllerNginx},
		}}
		read.note("the files have no IngressClass, so class nginx is taken for ingress-nginx, and no other controller is known")
	}
	return read, nil
}

func (f files) readPath(path string, read *scanned) error {
	if path == "-" {
		return read.manifests("<stdin>", f.stdin)
	}
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		if entry.IsDir() || name != path && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			return nil
		}
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		defer func() { _ = file.Close() }() // only read
		return read.manifests(name, file)
	})
}

// manifests reads the documents of one file.
func (s *scanned) manifests(name string, text io.Reader) error {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(text))
	for number := 1; ; number++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.document(name, document)
		}
		if err != nil {
			return fmt.Errorf("%s, document %d: %w; templates must be rendered first, as in 'helm template . | migration-proxy scan -f -'", name, number, err)
		}
	}
}

func (s *scanned) document(name string, text []byte) error {
	object, err := yaml.YAMLToJSON(text)
	if err != nil {
		return fmt.Errorf("this is no manifest: %w", err)
	}
	if !bytes.HasPrefix(object, []byte("{")) {
		return nil // empty, or not for Kubernetes
	}
	return s.object(name, object)
}

// object takes an object of a kind that matters, or the items of a list.
func (s *scanned) object(name string, text []byte) error {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil //nolint:nilerr // it has keys of the same name as objects of Kubernetes, and is none
	}
	switch kind := head.APIVersion + " " + head.Kind; {
	case strings.HasSuffix(head.Kind, "List") && head.APIVersion != "":
		return s.items(name, head.Items)
	case kind == "networking.k8s.io/v1 Ingress":
		return s.ingress(name, text)
	case kind == "networking.k8s.io/v1 IngressClass":
		class := &networkingv1.IngressClass{}
		s.objects.Classes = append(s.objects.Classes, class)
		return decode(text, class)
	case kind == "v1 Service":
		service := &corev1.Service{}
		err := decode(text, service)
		s.objects.Services[types.NamespacedName{Namespace: namespaceOf(service), Name: service.Name}] = scan.TrimService(service)
		return err
	case head.Kind == "Ingress" && strings.Contains(head.APIVersion, "beta"):
		s.note("%s has an Ingress of %s, which is not looked at: Kubernetes serves networking.k8s.io/v1 only", name, head.APIVersion)
	}
	return nil
}

func (s *scanned) items(name string, items []json.RawMessage) error {
	for _, item := range items {
		if err := s.object(name, item); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanned) ingress(name string, text []byte) error {
	ingress := &networkingv1.Ingress{}
	if err := decode(text, ingress); err != nil {
		return err
	}
	ingress.Namespace = namespaceOf(ingress)
	scan.Trim(ingress)
	s.sources[len(s.objects.Ingresses)] = name
	s.objects.Ingresses = append(s.objects.Ingresses, ingress)
	return nil
}

func decode(text []byte, object any) error {
	if err := json.Unmarshal(text, object); err != nil {
		return fmt.Errorf("this is no such object: %w", err)
	}
	return nil
}

// namespaceOf is where kubectl would create the object.
func namespaceOf(object metav1.Object) string {
	return cmp.Or(object.GetNamespace(), metav1.NamespaceDefault)
}
