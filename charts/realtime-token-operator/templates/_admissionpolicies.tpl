{{- /* A ValidatingAdmissionPolicy, and its binding to the whole cluster. Takes root, name and spec. */}}
{{- define "rto.policy" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .name }}
  labels:
    {{- include "rto.labels" .root | nindent 4 }}
spec:
  {{- .spec | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "rto.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end }}

{{- /* The operator writes Secrets that belong to a RealtimeToken, and the one with its certificate. */}}
{{- define "rto.policy.secrets" -}}
failurePolicy: Fail
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [secrets]
      operations: [CREATE, UPDATE, DELETE]
matchConditions:
  - name: by-the-operator
    expression: request.userInfo.username == {{ squote .operator }}
  {{- if and .root.Values.requests.enabled (not .root.Values.requests.tls.secretName) }}
  - name: not-its-certificate
    expression: >-
      !(request.namespace == {{ squote .root.Release.Namespace }} &&
      request.name == {{ squote (include "rto.requests.secretName" .root) }} && request.operation != 'DELETE')
  {{- end }}
variables:
  - name: seen
    expression: "request.operation == 'CREATE' ? object : oldObject"
  - name: named
    expression: "'realtime-token.dev/name' in variables.seen.metadata.?labels.orValue({})"
  - name: controlled
    expression: >-
      variables.seen.metadata.?ownerReferences.orValue([]).exists(owner, owner.kind == 'RealtimeToken' &&
      owner.apiVersion.startsWith('realtime-token.dev/') && owner.?controller.orValue(false))
  - name: type
    expression: variables.seen.?type.orValue('Opaque')
validations:
  - expression: variables.named || (request.operation != 'CREATE' && variables.controlled)
    messageExpression: >-
      'the operator writes Secrets of RealtimeTokens only, and ' + request.namespace + '/' + request.name + ' is not one: it has neither the label realtime-token.dev/name nor a RealtimeToken as its controller'
    reason: Forbidden
  - expression: variables.type in ['realtime-token.dev/token', 'Opaque'] # Opaque: of earlier versions
    messageExpression: >-
      'the operator writes Secrets of the types realtime-token.dev/token and Opaque only, and ' + request.namespace + '/' + request.name + ' has the type ' + variables.type
    reason: Forbidden
{{- end }}

{{- /* What is as it was may stay: or nobody could relabel, or take a finalizer from, what is older than this policy. */}}
{{- define "rto.policy.size" -}}
failurePolicy: Fail
matchConstraints:
  resourceRules:
    - apiGroups: [realtime-token.dev]
      apiVersions: ["*"]
      resources: [realtimetokens]
      operations: [CREATE, UPDATE]
matchConditions:
  - name: the-spec-is-new
    expression: request.operation == 'CREATE' || object.?spec != oldObject.?spec
variables:
  - name: size
    expression: size('%s'.format([object.?spec.orValue({})]))
validations:
  - expression: variables.size <= 131072
    messageExpression: >-
      'spec takes ' + string(variables.size) + ' characters where 131072 are allowed; shorten what is passed through to the provider'
    reason: Invalid
{{- end }}
