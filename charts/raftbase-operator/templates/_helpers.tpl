{{/* Name of everything in the release's namespace: raftbase -> raftbase-operator. */}}
{{- define "operator.name" -}}
{{- if hasSuffix "operator" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-operator" (.Release.Name | trunc 43 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "operator.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: raftbase-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: raftbase
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/*
Name of what is not in a namespace. Fixed for an operator of the whole cluster, so that a second one collides at install;
otherwise as unique as the release.
*/}}
{{- define "operator.clusterWideName" -}}
{{- if eq .Values.rbac.scope "Cluster" -}}
raftbase
{{- else -}}
{{- printf "%s-%s" .Release.Namespace (include "operator.name" .) -}}
{{- end -}}
{{- end -}}

{{/* What the restricted Pod Security level asks of a pod, and of each container. */}}
{{- define "operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "operator.testNamespace" -}}
{{- if .Values.test.namespace -}}
{{- .Values.test.namespace -}}
{{- else if eq .Values.rbac.scope "Namespaces" -}}
{{- first .Values.rbac.namespaces -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* Certificates lie in Secrets; by name only: nobody lists them. */}}
{{- define "operator.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
{{- end -}}

{{/* What it asks cert-manager for; whose issuers are in no namespace, it can see only with rights for the whole cluster. */}}
{{- define "operator.certManagerRules" -}}
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, create, patch, delete]
- apiGroups: [cert-manager.io]
  resources: [issuers{{ if eq .Values.rbac.scope "Cluster" }}, clusterissuers{{ end }}]
  verbs: [get]
{{- end -}}

{{/* Rules for everything the operator touches in a namespace that it watches; docs/operator.md says why for each. */}}
{{- /* Nodes belong to no namespace. */}}
{{- define "operator.readsNodes" -}}
{{- and .Values.rbac.nodes (eq .Values.rbac.scope "Cluster") -}}
{{- end -}}

{{- define "operator.rules" -}}
- apiGroups: [raftbase.io]
  resources: [raftclusters]
  verbs: [get, list, watch, patch]
- apiGroups: [raftbase.io]
  resources: [raftclusters/status, raftclusters/finalizers]
  verbs: [get, patch, update]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
{{- if and .Values.rbac.secrets.enabled (not .Values.rbac.secrets.namespaces) }}
{{ include "operator.secretRules" . }}
{{- end }}
{{- if .Values.rbac.certManager }}
{{ include "operator.certManagerRules" . }}
{{- end }}
{{- if .Values.rbac.monitoring }}
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, list, create, patch, delete]
{{- end }}
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io, ""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- if eq (include "operator.readsNodes" .) "true" }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list]
- apiGroups: [""]
  resources: [persistentvolumes]
  verbs: [get]
{{- end }}
{{- end -}}
