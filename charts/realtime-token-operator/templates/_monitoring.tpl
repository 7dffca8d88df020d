{{- /*
A kind of the Prometheus operator that the cluster doesn't know would fail the install with an error about mappings.
Rendered without a cluster there is nobody to ask, and it is left in: every API server has apiregistration.k8s.io, and
helm's own list of what Kubernetes has lacks it.
*/}}
{{- define "rto.monitoring.needs" -}}
{{- if and (.root.Capabilities.APIVersions.Has "apiregistration.k8s.io/v1") (not (.root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind))) }}
{{- fail (printf "%s.enabled is true, but this cluster has no %s (monitoring.coreos.com/v1): install the Prometheus operator or its CRDs first, or set %s.enabled=false" .value .kind .value) }}
{{- end }}
{{- end }}

{{- /* The labels `namespace` and `name` are the tokens' own; honorLabels leaves them so, as alerts and dashboard expect. */}}
{{- define "rto.monitoring.endpoint" -}}
{{- $endpoint := dict "port" "metrics" "path" "/metrics" "honorLabels" true }}
{{- if .root.Values.metrics.authentication }}
{{- /* The certificate is made at each start; nobody could verify it. */}}
{{- $endpoint = merge $endpoint (dict "scheme" "https" "tlsConfig" (dict "insecureSkipVerify" true)) .credentials }}
{{- end }}
{{- merge (dict) .endpoint $endpoint | toYaml }}
{{- end }}

{{- /* Metadata with the chart's labels and those by which it is found. */}}
{{- define "rto.monitoring.metadata" -}}
name: {{ include "rto.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge (include "rto.labels" .root | fromYaml) .values.labels | toYaml | nindent 2 }}
{{- with .values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
