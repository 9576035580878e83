package deploy

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// TestNotifySecret: the webhook's pods start without the Secret, and may reach the address:
// no policy limits what they connect to.
func TestNotifySecret(t *testing.T) {
	t.Parallel()
	objects := render(t, "webhook.notifySecret=addresses")
	spec := podSpecs(objects)[names.Webhook]
	at := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == "notify" })
	require.Equal(t, &corev1.SecretVolumeSource{SecretName: "addresses", Optional: new(true)}, spec.Volumes[at].Secret)
	require.Contains(t, spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "notify", MountPath: "/etc/migration-proxy/notify", ReadOnly: true})
	policies := all[*networkingv1.NetworkPolicy](objects)
	require.NotEmpty(t, policies)
	for _, policy := range policies {
		require.NotContains(t, policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

// TestHabits: what users of charts expect to find arrives where it belongs, and nowhere
// else: a selector must never change.
func TestHabits(t *testing.T) {
	t.Parallel()
	objects := render(t, "commonLabels.team=shop", "proxy.podLabels.mesh=on", "proxy.extraEnv[0].name=A", "proxy.extraEnv[0].value=b",
		"webhook.serviceAccount.annotations.role=x", "proxy.accessLog.format=json",
		"extraObjects[0].apiVersion=v1", "extraObjects[0].kind=ConfigMap", "extraObjects[0].metadata.name=more", "extraObjects[0].data.in=in {{ .Release.Namespace }}")
	for _, object := range objects {
		if object.GetName() != "more" {
			require.Equal(t, "shop", object.GetLabels()["team"], "%T %s", object, object.GetName())
		}
	}
	plain := one[*appsv1.Deployment](t, render(t), names.ProxyService)
	proxy := one[*appsv1.Deployment](t, objects, names.ProxyService)
	require.Equal(t, plain.Spec.Selector, proxy.Spec.Selector)
	require.Equal(t, "on", proxy.Spec.Template.Labels["mesh"])
	require.NotContains(t, proxy.Spec.Template.Labels, "team", "a new label must not restart the pods")
	require.Contains(t, proxy.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "A", Value: "b"})
	require.Contains(t, proxy.Spec.Template.Spec.Containers[0].Args, "--access-log-format=json")
	require.Equal(t, map[string]string{"role": "x"}, one[*corev1.ServiceAccount](t, objects, names.Webhook).Annotations)
	require.Equal(t, "in "+namespace, one[*corev1.ConfigMap](t, objects, "more").Data["in"])
}
