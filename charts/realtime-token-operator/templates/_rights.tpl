{{- /* What the operator does with RealtimeTokens and their Secrets; docs/security.md says why, verb by verb. */}}
{{- define "rto.rights.tokens" -}}
- apiGroups: [realtime-token.dev]
  resources: [realtimetokens]
  verbs: [list, watch]
- apiGroups: [realtime-token.dev]
  resources: [realtimetokens/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch{{ if .Values.rbac.deleteSecrets }}, delete{{ end }}]
{{ include "rto.rights.events" . }}
{{- include "rto.rights.identities" . }}
{{- end }}

{{- /* By name only: a user who may request tokens of any ServiceAccount can act as any of them. */}}
{{- define "rto.rights.identities" -}}
{{- with .Values.workloadIdentity.serviceAccountNames }}
- apiGroups: [""]
  resources: [serviceaccounts/token]
  resourceNames: {{ . | uniq | toJson }}
  verbs: [create]
{{- end }}
{{- end }}

{{- /* Who asks for a token or reads metrics, and whether they may. Neither review can be granted for a namespace. */}}
{{- define "rto.rights.reviews" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{- /* The certificate that requests are served with. RBAC can't restrict create to a name. */}}
{{- define "rto.rights.certificate" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "rto.requests.secretName" . }}]
  verbs: [list, watch{{ if not .Values.requests.tls.secretName }}, update{{ end }}]
{{- if not .Values.requests.tls.secretName }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- end }}
{{- end }}

{{- /* To ask as a pod would, while `helm test` runs. */}}
{{- define "rto.rights.asking" -}}
- apiGroups: [realtime-token.dev]
  resources: [realtimetokens/token]
  resourceNames: [{{ splitList "/" .Values.helmTest.realtimeToken | last }}]
  verbs: [create]
{{- end }}

{{- define "rto.rights.events" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* ClusterRealtimeProviders, and the labels of namespaces that their selectors look at. */}}
{{- define "rto.rights.providers" -}}
- apiGroups: [realtime-token.dev]
  resources: [clusterrealtimeproviders]
  verbs: [list, watch]
- apiGroups: [realtime-token.dev]
  resources: [clusterrealtimeproviders/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.watchNamespaces }}
  resourceNames: {{ . | uniq | toJson }}
  {{- end }}
  verbs: [list, watch]
{{- end }}

{{- /* The keys and identities of ClusterRealtimeProviders, in the operator's own namespace. */}}
{{- define "rto.rights.keys" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- include "rto.rights.identities" . }}
{{- end }}

{{- define "rto.subjects" -}}
- kind: ServiceAccount
  name: {{ include "rto.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* A Role and its RoleBinding. Takes root, namespace, name, rules, and annotations if there are any. */}}
{{- define "rto.role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "rto.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "rto.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  {{- include "rto.subjects" .root | nindent 2 }}
{{- end }}

{{- /* RBAC can't restrict create to a name. */}}
{{- define "rto.rights.lease" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "rto.leaseName" . }}]
  verbs: [get, update]
{{- end }}
