{{- define "rto.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "rto.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "rto.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rto.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rto.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rto.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "rto.testLabels" -}}
app.kubernetes.io/name: {{ include "rto.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- /* Identity, which nobody may change, and the user's labels. Merged, since one key twice is no YAML. */}}
{{- define "rto.labels" -}}
{{- $identity := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "rto.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
}}
{{- merge $identity .Values.commonLabels (dict "app.kubernetes.io/part-of" "realtime-token-operator") | toYaml }}
{{- end }}

{{- /* Of what is the operator's: they find each other by the selector. */}}
{{- define "rto.operatorLabels" -}}
{{- merge (include "rto.selectorLabels" . | fromYaml) (include "rto.labels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "rto.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rto.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rto.image" -}}
{{- $repository := required "image.repository is not set, and no image is published yet: build one with `make image`, push it to a registry that your nodes can pull from, and name it with --set image.repository=REGISTRY/realtime-token-operator" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* "true" or nothing: whether there can be more than one replica. */}}
{{- define "rto.several" -}}
{{- if gt (int (ternary .Values.autoscaling.maxReplicas .Values.replicas .Values.autoscaling.enabled)) 1 }}true{{ end }}
{{- end }}

{{- /* "true" or nothing: several replicas without an election would all mint. */}}
{{- define "rto.leaderElect" -}}
{{- if or .Values.leaderElection.enabled (include "rto.several" .) }}true{{ end }}
{{- end }}

{{- define "rto.leaseName" -}}
{{- default (include "rto.fullname" .) .Values.leaderElection.leaseName }}
{{- end }}

{{- /* "true" or nothing: whether anything is asked for beyond single namespaces. */}}
{{- define "rto.clusterScoped" -}}
{{- if or .Values.clusterProviders (not .Values.watchNamespaces) }}true{{ end }}
{{- end }}
