package restore

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

const (
	// hookDelay is how long CheckHook looks: a tool that applies all objects at the
	// same time may create the Job before the ConfigMap.
	hookDelay    = 2 * time.Second
	hookInterval = 200 * time.Millisecond
)

// CheckHook gives an error when the chart's hooks were applied like ordinary
// objects ('helm template | kubectl apply', kustomize, rendered manifests), so
// that the Job of helm uninstall runs although nobody uninstalls anything. Then
// ConfigMap names.AppliedHooks exists: helm creates it only during a rollback,
// and deletes it again at once.
func CheckHook(ctx context.Context, in *installation.Installation) error {
	for begun := time.Now(); time.Since(begun) < hookDelay; {
		_, err := in.CoreV1().ConfigMaps(in.Namespace).Get(ctx, names.AppliedHooks, metav1.GetOptions{})
		switch {
		case err == nil:
			return appliedError(in.Namespace)
		case !apierrors.IsNotFound(err):
			return installation.Right{Verb: "get", Resource: installation.ConfigMaps, Namespace: in.Namespace}.Explain(err)
		}
		if err := sleep(ctx, hookInterval); err != nil {
			return err
		}
	}
	return nil
}

func appliedError(namespace string) error {
	return fmt.Errorf("nothing was restored: ConfigMap %[1]s/%[2]s says that this hook of 'helm uninstall' was applied like an ordinary object; "+
		"render the chart with 'helm template --no-hooks', and remove what was applied with\n"+
		"  kubectl --namespace %[1]s delete job,role,rolebinding,serviceaccount migration-proxy-restore\n"+
		"  kubectl --namespace %[1]s delete pod,role,rolebinding,serviceaccount migration-proxy-test\n"+
		"  kubectl delete clusterrole,clusterrolebinding migration-proxy-restore\n"+
		"  kubectl --namespace %[1]s delete configmap %[2]s\n"+
		"if 'helm uninstall' runs now, delete only the ConfigMap, and run it again", namespace, names.AppliedHooks)
}
