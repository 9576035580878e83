package deploy

import (
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

const (
	pem    = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
	secret = "certs.mode=secret"
)

func TestLint(t *testing.T) {
	t.Parallel()
	_, err := helm(t, "lint", "--strict", chart)
	require.NoError(t, err)
}

func TestInstallYAMLIsFresh(t *testing.T) {
	t.Parallel()
	binary, err := helmBinary()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), "./render.sh")
	command.Env = append(os.Environ(), "HELM="+binary)
	command.Stderr = os.Stderr
	made, err := command.Output()
	require.NoError(t, err)
	golden.Check(t, "install.yaml", made)
	require.NotContains(t, string(made), " \n", "editors would change lines that end with a space")
	objects := decode(t, string(made))
	require.Equal(t, "restricted", one[*corev1.Namespace](t, objects, namespace).Labels["pod-security.kubernetes.io/enforce"])
	for _, object := range objects {
		require.NotContains(t, object.GetAnnotations(), "helm.sh/hook", "kubectl apply would run it at once")
	}
}

// TestValues: every value of the chart renders to objects that the API server
// knows.
func TestValues(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"defaults":     nil,
		"own replicas": {"proxy.autoscaling.enabled=false", "proxy.replicas=3"},
		"placement": {
			"proxy.nodeSelector.a=b", "proxy.tolerations[0].operator=Exists", "proxy.priorityClassName=high",
			"webhook.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
			"proxy.podAnnotations.a=b", "webhook.podAnnotations.a=b", "imagePullSecrets={one,two}",
		},
		"files": {
			"proxy.extraVolumes[0].name=ca", "proxy.extraVolumes[0].configMap.name=ca",
			"proxy.extraVolumeMounts[0].name=ca", "proxy.extraVolumeMounts[0].mountPath=/etc/ca",
		},
		"policies": {
			"networkPolicy.trafficFrom[0].podSelector.matchLabels.a=b", "networkPolicy.statusFrom[0].ipBlock.cidr=10.0.0.0/8",
			"networkPolicy.webhookFrom[0].namespaceSelector.matchLabels.a=b",
		},
		"notify":          {"webhook.notifySecret=notify"},
		"namespaces":      {"webhook.namespaces={shop,partner}"},
		"own certificate": {secret, "certs.caBundle=" + pem},
		"less":            {"networkPolicy.enabled=false", "restoreOnUninstall=false", "proxy.accessLog.enabled=false", "proxy.workers=auto"},
		"habits": {
			"commonLabels.team=shop", "proxy.podLabels.a=b", "webhook.podLabels.a=b", "proxy.extraEnv[0].name=A", "webhook.extraEnv[0].name=HTTPS_PROXY",
			"webhook.extraEnv[0].value=http://proxy:3128", "proxy.serviceAccount.annotations.a=b", "webhook.serviceAccount.annotations.a=b",
			"proxy.accessLog.format=json", "monitoring.dashboard.enabled=true", "monitoring.dashboard.annotations.folder=migration",
			"extraObjects[0].apiVersion=v1", "extraObjects[0].kind=ConfigMap", "extraObjects[0].metadata.name=more",
		},
		"a digest":      {"image.digest=sha256:" + strings.Repeat("a", 64)},
		"as a subchart": {"global.cluster=a", "enabled=true"},
		"nothing where nothing is the default": {
			"image.tag=null", "image.digest=null", "imagePullSecrets=null", "proxy.tempVolume=null", "proxy.extraVolumes=null",
			"proxy.extraVolumeMounts=null", "proxy.podAnnotations=null", "proxy.nodeSelector=null", "proxy.tolerations=null",
			"proxy.affinity=null", "proxy.priorityClassName=null", "proxy.resources.limits=null", "webhook.podAnnotations=null",
			"webhook.nodeSelector=null", "webhook.affinity=null", "certs.caBundle=null", "networkPolicy.trafficFrom=null",
			"networkPolicy.statusFrom=null", "networkPolicy.webhookFrom=null",
		},
		"a volume for bodies": {
			"proxy.tempVolume.ephemeral.volumeClaimTemplate.spec.accessModes={ReadWriteOnce}",
			"proxy.tempVolume.ephemeral.volumeClaimTemplate.spec.resources.requests.storage=5Gi",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, render(t, values...))
		})
	}
}

// TestInvalidValuesAreRefused: values.schema.json and the templates refuse values
// that cannot work.
func TestInvalidValuesAreRefused(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"proxy.replica=3":                       "replica",
		"replicas=3":                            "replicas",
		"proxy.replicas=0":                      "proxy/replicas",
		"proxy.replicas=two":                    "proxy/replicas",
		"proxy.workers=0":                       "proxy/workers",
		"proxy.workers=many":                    "proxy/workers",
		"proxy.autoscaling.maxReplicas=1":       "maxReplicas 1 is less than minReplicas 2",
		"proxy.autoscaling.enabled=yes":         "proxy/autoscaling/enabled",
		"proxy.lingerSeconds=0":                 "proxy/lingerSeconds",
		"proxy.lingerSeconds=120":               "lingerSeconds 120 leaves no time",
		"proxy.terminationGracePeriodSeconds=5": "proxy/terminationGracePeriodSeconds",
		"proxy.runtimeSize=lots":                "proxy/runtimeSize",
		"proxy.tempSize=256Mi":                  "proxy/tempSize",
		"proxy.tempVolume.sizeLimit=1Gi,proxy.tempVolume.emptyDir.a=b": "proxy/tempVolume",
		"proxy.resources.request.cpu=1":                                "request",
		"proxy.podAnnotations.a=1":                                     "proxy/podAnnotations/a",
		"webhook.replicas=0":                                           "webhook/replicas",
		"image.pullPolicy=Sometimes":                                   "image/pullPolicy",
		"image.digest=latest":                                          "image/digest",
		"image.tag=a/b":                                                "image/tag",
		"log.level=loud":                                               "log/level",
		"certs.mode=self-signed":                                       "certs/mode",
		secret:                                                         "certs/caBundle",
		"certs.caBundle=" + pem:                                        "certs/caBundle",
		"networkPolicy.trafficFrom[0].namespace=a":                     "networkPolicy/trafficFrom/0",
		"restoreOnUninstall=later":                                     "restoreOnUninstall",
		"monitoring.podMonitor.interval=often":                         "monitoring/podMonitor/interval",
		"monitoring.serviceMonitors.enabled=true":                      "serviceMonitors",
		"monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true": "enable podMonitor or serviceMonitor",
		"proxy.accessLog=true":                               "proxy/accessLog",
		"proxy.accessLog.format=xml":                         "proxy/accessLog/format",
		`commonLabels.app\.kubernetes\.io/name=mine`:         "invalid propertyName 'app.kubernetes.io/name'",
		`proxy.podLabels.app\.kubernetes\.io/component=mine`: "invalid propertyName 'app.kubernetes.io/component'",
		"webhook.extraEnv[0].value=a":                        "webhook/extraEnv/0",
		"imagePullSecrets[0].name=registry":                  "imagePullSecrets/0",
		"proxy=null":                                         "missing property 'proxy'",
		"proxy.autoscaling=null":                             "missing property 'autoscaling'",
		secret + ",certs.caBundle=null":                      "missing property 'caBundle'",
		"enabled=maybe":                                      "enabled",
		"proxy.extraVolumes[0].configMap.name=a":             "proxy/extraVolumes/0",
		"proxy.extraVolumeMounts[0].mountPath=/etc":          "proxy/extraVolumeMounts/0",
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			_, err := template(t, value)
			require.ErrorContains(t, err, want)
		})
	}
}

// TestSchemaRequiresWhatHasADefault: a value that is set to null is refused by the
// schema, and does not fail in a template, unless nothing is its default.
func TestSchemaRequiresWhatHasADefault(t *testing.T) {
	t.Parallel()
	var defaults, schema map[string]any
	for file, into := range map[string]*map[string]any{"values.yaml": &defaults, "values.schema.json": &schema} {
		text, err := os.ReadFile("chart/" + file)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, into))
	}
	requireRequired(t, "", defaults, schema)
}

// requireRequired looks into each object that the schema describes by its keys.
func requireRequired(t *testing.T, path string, values, schema map[string]any) {
	t.Helper()
	properties, described := schema["properties"].(map[string]any)
	if !described {
		return
	}
	for key, value := range values {
		if value == nil || reflect.ValueOf(value).Kind() != reflect.Bool && reflect.ValueOf(value).IsZero() {
			continue
		}
		inner, object := value.(map[string]any)
		if list, isList := value.([]any); isList && len(list) == 0 || object && len(inner) == 0 {
			continue
		}
		require.Contains(t, schema["required"], key, path)
		if object {
			requireRequired(t, path+"/"+key, inner, properties[key].(map[string]any))
		}
	}
}

// TestSafeToEvict: an autoscaler of nodes may evict the proxies, unless the user says otherwise.
func TestSafeToEvict(t *testing.T) {
	t.Parallel()
	const annotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	of := func(values ...string) map[string]string {
		return one[*appsv1.Deployment](t, render(t, values...), names.ProxyService).Spec.Template.Annotations
	}
	require.Equal(t, "true", of()[annotation])
	own := of("proxy.podAnnotations.a=b", `proxy.podAnnotations.cluster-autoscaler\.kubernetes\.io/safe-to-evict=no`)
	require.Equal(t, "no", own[annotation])
	require.Equal(t, "b", own["a"])
}

// TestNames: the chart and the programs use the same names.
func TestNames(t *testing.T) {
	t.Parallel()
	objects := render(t)
	require.Empty(t, one[*corev1.ConfigMap](t, objects, names.StateMap).Data, "helm would remove the data that the watcher wrote")
	one[*corev1.ServiceAccount](t, objects, names.Webhook) // admission does not change its requests
	require.Equal(t, namespace, names.Namespace)

	proxy := one[*corev1.Service](t, objects, names.ProxyService)
	require.Equal(t, []corev1.ServicePort{
		port(names.PortTraffic, names.TrafficPort), port(names.PortNew, names.NewPort), port(names.PortGRPC, names.GRPCPort), port(names.PortStatus, 8080),
	}, withoutProtocols(proxy))
	require.Equal(t, []corev1.ServicePort{port("webhook", 443), port("status", 8080)}, withoutProtocols(one[*corev1.Service](t, objects, names.Webhook)))

	mounted := one[*appsv1.Deployment](t, objects, names.Webhook).Spec.Template.Spec.Volumes[0].Secret
	require.Equal(t, one[*certmanagerv1.Certificate](t, objects, names.Webhook).Spec.SecretName, mounted.SecretName)
}

func port(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromString(name)}
}

func withoutProtocols(service *corev1.Service) []corev1.ServicePort {
	ports := slices.Clone(service.Spec.Ports)
	for i := range ports {
		ports[i].Protocol, ports[i].AppProtocol = "", nil
	}
	return ports
}

// TestSelectors: each Service selects the pods of one Deployment.
func TestSelectors(t *testing.T) {
	t.Parallel()
	objects := render(t)
	for _, name := range []string{names.ProxyService, names.Webhook} {
		pods := one[*appsv1.Deployment](t, objects, name)
		require.Equal(t, pods.Spec.Selector.MatchLabels, pods.Spec.Template.Labels)
		require.Equal(t, pods.Spec.Template.Labels, one[*corev1.Service](t, objects, name).Spec.Selector)
	}
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	objects := render(t)
	require.Nil(t, one[*appsv1.Deployment](t, objects, names.ProxyService).Spec.Replicas, "each upgrade would undo the autoscaler")
	require.Equal(t, int32(2), *one[*autoscalingv2.HorizontalPodAutoscaler](t, objects, names.ProxyService).Spec.MinReplicas)
	require.Equal(t, int32(2), *one[*appsv1.Deployment](t, objects, names.Webhook).Spec.Replicas)

	objects = render(t, "proxy.autoscaling.enabled=false", "proxy.replicas=3")
	require.Equal(t, int32(3), *one[*appsv1.Deployment](t, objects, names.ProxyService).Spec.Replicas)
	require.Empty(t, all[*autoscalingv2.HorizontalPodAutoscaler](objects))
}

// TestWebhookCABundle: with a certificate of its own, the API server trusts the CA of the
// values; install.yaml shows the webhooks with cert-manager.
func TestWebhookCABundle(t *testing.T) {
	t.Parallel()
	objects := render(t, secret, "certs.caBundle="+pem)
	mutating := one[*admissionregistrationv1.MutatingWebhookConfiguration](t, objects, names.Webhook)
	validating := one[*admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, names.Webhook)
	require.Empty(t, mutating.Annotations)
	require.Empty(t, validating.Annotations)
	require.Equal(t, pem, string(mutating.Webhooks[0].ClientConfig.CABundle))
	for _, hook := range validating.Webhooks {
		require.Equal(t, pem, string(hook.ClientConfig.CABundle))
	}
}

// TestCertificates: with a certificate of its own, the chart needs no cert-manager.
func TestCertificates(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, all[*certmanagerv1.Certificate](render(t)))
	own := render(t, secret, "certs.caBundle="+pem)
	require.Empty(t, all[*certmanagerv1.Issuer](own))
	require.Empty(t, all[*certmanagerv1.Certificate](own))
}

// TestRuntimeDirectoryIsInTheEnvironment: a command that a user types in the pod
// uses the runtime directory of the proxy in it.
func TestRuntimeDirectoryIsInTheEnvironment(t *testing.T) {
	t.Parallel()
	const variable, dir = "MIGRATION_PROXY_RUNTIME_DIR", "/run/migration-proxy"
	proxy := podSpecs(render(t))[names.ProxyService].Containers[0]
	require.Contains(t, proxy.Env, corev1.EnvVar{Name: variable, Value: dir})
	require.NotContains(t, strings.Join(proxy.Args, " "), "--runtime-dir")
	require.Equal(t, dir, proxy.VolumeMounts[0].MountPath)
	image, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(image), "\nENV "+variable+"="+dir+"\n")
}

// TestTempVolume: tempVolume replaces the emptyDir, and the user of the pod may
// write to it.
func TestTempVolume(t *testing.T) {
	t.Parallel()
	volume := func(values ...string) (corev1.Volume, *int64) {
		spec := podSpecs(render(t, values...))[names.ProxyService]
		at := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == "temp" })
		return spec.Volumes[at], spec.SecurityContext.FSGroup
	}
	own, group := volume()
	require.NotNil(t, own.EmptyDir)
	require.Nil(t, group)
	own, group = volume("proxy.tempVolume.ephemeral.volumeClaimTemplate.spec.accessModes={ReadWriteOnce}")
	require.Nil(t, own.EmptyDir)
	require.NotNil(t, own.Ephemeral)
	require.Equal(t, new(int64(65532)), group)
}

// TestNobodyIsToldToApplyTheConfig: after the first day the percentages in the
// cluster are not those of the file any more.
func TestNobodyIsToldToApplyTheConfig(t *testing.T) {
	t.Parallel()
	told := regexp.MustCompile(`kubectl apply -f \S*migration[-.\w]*\.yaml`)
	for _, file := range []string{"chart/templates/NOTES.txt", "migration-configmap.yaml", "../README.md", "../docs/install.md", "../docs/operations.md"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Empty(t, told.FindString(string(text)), file)
	}
}

// TestExampleConfigMap: the ConfigMap that users copy has the name that the proxies
// read, and loads.
func TestExampleConfigMap(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("migration-configmap.yaml")
	require.NoError(t, err)
	example := one[*corev1.ConfigMap](t, decode(t, string(text)), names.ConfigMap)
	require.Equal(t, names.Namespace, example.Namespace)
	require.Equal(t, "true", example.Labels[ingressgen.LabelConfig])
	require.Equal(t, []string{names.ConfigKey}, slices.Collect(maps.Keys(example.Data)))
	table, err := config.Load(names.ConfigKey, []byte(example.Data[names.ConfigKey]))
	require.NoError(t, err)
	for i := range table.Services() {
		require.Zero(t, table.Services()[i].Share, "an example must not move traffic")
		require.NotZero(t, table.Services()[i].MaxBodyBytes, "nothing else keeps uploads off the node's disk")
	}
}
