package controlplane

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	module = "github.com/migration-proxy/migration-proxy"
	// assetsVariable names a folder with etcd, kube-apiserver and kubectl, as
	// controller-runtime's setup-envtest downloads them.
	assetsVariable = "KUBEBUILDER_ASSETS"
)

// Program gives the path of a program: etcd, kube-apiserver, kube-controller-manager,
// kubectl, helm or cert-manager. It looks in the folder of KUBEBUILDER_ASSETS, then in
// bin/controlplane of the repository of the working directory.
func Program(name string) (string, error) {
	if assets := os.Getenv(assetsVariable); assets != "" {
		if path := filepath.Join(assets, name); isFile(path) {
			return path, nil
		}
	}
	root, err := Repository()
	if err != nil {
		return "", fmt.Errorf("look for %s: %w; set %s to a folder that has it", name, err, assetsVariable)
	}
	path := filepath.Join(root, "bin", "controlplane", name)
	if !isFile(path) {
		return "", fmt.Errorf("%s is missing: run `make controlplane` (about 19 minutes the first time), or set %s to a folder that has it",
			path, assetsVariable)
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Repository is the folder of the product's go.mod, found upwards from the working
// directory.
func Repository() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if declares(filepath.Join(folder, "go.mod")) {
			return folder, nil
		}
	}
	return "", errors.New("the working directory is not in a checkout of " + module)
}

func declares(file string) bool {
	text, err := os.Open(file)
	if err != nil {
		return false
	}
	defer text.Close()
	for lines := bufio.NewScanner(text); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "module "); found {
			return strings.TrimSpace(name) == module
		}
	}
	return false
}
