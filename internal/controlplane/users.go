package controlplane

import (
	"context"
	"fmt"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// createAdmin creates the administrator and its kubeconfig, for the address of the API
// server.
func (c *ControlPlane) createAdmin() error {
	var err error
	if c.admin, err = c.User("admin", "system:masters"); err != nil {
		return err
	}
	c.kubeconfig = filepath.Join(c.options.Dir, "kubeconfig")
	return writeKubeconfig(c.kubeconfig, c.admin)
}

// Config is a copy of the administrator's client configuration.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfig }

// User gives the client configuration of a user with a certificate. It has no rights
// until an RBAC binding grants some. Its requests are not throttled.
func (c *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	identity, err := c.authority.Client(name, groups...)
	if err != nil {
		return nil, err
	}
	config := c.anonymous()
	config.CertData, config.KeyData, err = testbed.EncodePair(identity)
	return config, err
}

// ServiceAccount gives the client configuration of an existing service account, with a
// token that is valid for one hour. The API server sees the user
// system:serviceaccount:NAMESPACE:NAME.
func (c *ControlPlane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, err
	}
	answer, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of service account %s/%s: %w", namespace, name, err)
	}
	config := c.anonymous()
	config.BearerToken = answer.Status.Token
	return config, nil
}

func (c *ControlPlane) anonymous() *rest.Config {
	return &rest.Config{
		Host: "https://" + c.server.String(), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.PEM()},
	}
}

// Namespace creates a namespace with a unique name, so that tests can run in parallel.
func (c *ControlPlane) Namespace(ctx context.Context, prefix string) (string, error) {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", err
	}
	made, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("new namespace %s-*: %w", prefix, err)
	}
	return made.Name, nil
}

func writeKubeconfig(path string, config *rest.Config) error {
	const name = "controlplane"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			name: {Server: config.Host, CertificateAuthorityData: config.CAData},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			name: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData},
		},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
}
