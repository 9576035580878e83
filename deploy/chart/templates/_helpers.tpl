{{/* The names are fixed, because the program has them too (internal/names). */}}

{{- define "labels" -}}
app.kubernetes.io/name: migration-proxy
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity | default (include "spread" . | fromYaml) }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/*
Replicas run on different nodes and in different zones, if there are several. Topology
spread constraints would not do: with two keys the scheduler leaves out all nodes that
lack one, and many clusters have no zones. An affinity of the user's takes its place.
*/}}
{{- define "spread" -}}
{{- if .selector }}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    {{- range $key, $weight := dict "kubernetes.io/hostname" 100 "topology.kubernetes.io/zone" 50 }}
    - weight: {{ $weight }}
      podAffinityTerm:
        topologyKey: {{ $key }}
        labelSelector:
          matchLabels:
            {{- $.selector | nindent 12 }}
    {{- end }}
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
