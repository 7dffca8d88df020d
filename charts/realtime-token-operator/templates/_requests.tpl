{{- /* Each port is one in the pod, and one in the Service. */}}
{{- define "rto.ports.check" -}}
{{- $pod := dict "health.port" .Values.health.port "metrics.port" .Values.metrics.port }}
{{- $service := dict }}
{{- if .Values.service.enabled }}
{{- $service = dict "health.port" .Values.health.port "service.port" .Values.service.port }}
{{- end }}
{{- if .Values.requests.enabled }}
{{- $pod = set $pod "requests.port" .Values.requests.port }}
{{- $service = set $service "the Service's port for requests" 443 }}
{{- end }}
{{- range $ports := list $pod $service }}
{{- $names := dict }}
{{- range $name, $port := $ports }}
{{- $port = toString $port }}
{{- with get $names $port }}
{{- fail (printf "%s and %s are both %s: choose a port of its own for each" . $name $port) }}
{{- end }}
{{- $names = set $names $port $name }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Tokens on request. Values that contradict each other are refused here, before anything is installed. */}}
{{- define "rto.requests.check" -}}
{{- if .Values.requests.enabled }}
{{- if and .Values.requests.tls.secretName .Values.requests.tls.ownSecretName }}
{{- fail "requests.tls.secretName names a certificate that others keep, requests.tls.ownSecretName one that the operator keeps: set one of them" }}
{{- end }}
{{- else }}
{{- if .Values.autoscaling.enabled }}
{{- fail "autoscaling.enabled is true, but requests.enabled is false: further replicas would only stand by. Set requests.enabled=true, or autoscaling.enabled=false" }}
{{- end }}
{{- if .Values.helmTest.realtimeToken }}
{{- fail "helmTest.realtimeToken is set, but requests.enabled is false, so that no token is handed out on request: set requests.enabled=true, or remove it" }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas is %d, which is more than autoscaling.maxReplicas, %d" (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}

{{- define "rto.requests.secretName" -}}
{{- coalesce .Values.requests.tls.secretName .Values.requests.tls.ownSecretName (printf "%s-requests-tls" (include "rto.fullname" .)) }}
{{- end }}

{{- /* Where pods ask: what the operator writes into the Secrets, too. */}}
{{- define "rto.requests.url" -}}
{{- default (printf "https://%s.%s.svc" (include "rto.fullname" .) .Release.Namespace) .Values.requests.url | trimSuffix "/" }}
{{- end }}

{{- define "rto.requests.args" -}}
- --requests-listen=0.0.0.0:{{ .Values.requests.port }}
- --requests-service={{ include "rto.fullname" . }}
{{- if .Values.requests.url }}
- --requests-url={{ include "rto.requests.url" . }}
{{- end }}
{{- if .Values.requests.tls.secretName }}
- --requests-tls-secret={{ .Values.requests.tls.secretName }}
{{- else }}
- --requests-ca-secret={{ include "rto.requests.secretName" . }}
- --requests-ca-days={{ .Values.requests.tls.caDays }}
{{- end }}
{{- end }}
