{{/* The names are fixed, because the program has them too (internal/names). */}}

{{- define "labels" -}}
app.kubernetes.io/name: migration-proxy
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "proxy.selector" -}}
app.kubernetes.io/name: migration-proxy
app.kubernetes.io/component: proxy
{{- end }}

{{- define "webhook.selector" -}}
app.kubernetes.io/name: migration-proxy
app.kubernetes.io/component: webhook
{{- end }}

{{- define "restore.selector" -}}
app.kubernetes.io/name: migration-proxy
app.kubernetes.io/component: restore
{{- end }}

{{- define "image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The settings that Pod Security's level "restricted" requires, and a fixed user. */}}
{{- define "podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Replicas run on different nodes and in different zones, if there are several. */}}
{{- define "spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- $.selector | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* The proxy and the webhook serve the same paths on the same port. */}}
{{- define "probes" -}}
startupProbe:
  httpGet: {path: /health, port: status}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health, port: status}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: status}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{- define "pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The namespace of the installation, from the pod itself. */}}
{{- define "namespaceVariable" -}}
- name: MIGRATION_PROXY_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}

{{/* The memory limit of the container, so that Go collects garbage before it is reached. */}}
{{- define "memoryVariable" -}}
- name: MIGRATION_PROXY_MEMORY_LIMIT
  valueFrom:
    resourceFieldRef:
      resource: limits.memory
{{- end }}
