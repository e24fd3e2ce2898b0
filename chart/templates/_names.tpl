{{/* Names and labels of all objects. */}}

{{- define "ark.name" -}}
{{- default "ark-apiserver" .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "ark.serviceName" -}}
{{- default (include "ark.name" .) .Values.serviceNameOverride -}}
{{- end }}

{{- define "ark.serviceAccountName" -}}
{{- default (include "ark.name" .) .Values.serviceAccount.name -}}
{{- end }}

{{/* Secret of the self-managed certificate. */}}
{{- define "ark.tlsSecretName" -}}
{{ include "ark.name" . }}-tls
{{- end }}

{{- define "ark.claimName" -}}
{{- default (printf "%s-data" (include "ark.name" .)) .Values.storage.sqlite.persistence.existingClaim -}}
{{- end }}

{{- define "ark.selectorLabels" -}}
app.kubernetes.io/name: ark-apiserver
app.kubernetes.io/instance: {{ include "ark.name" . }}
{{- end }}

{{- define "ark.labels" -}}
{{ include "ark.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ark
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Image reference; arguments: root, image. */}}
{{- define "ark.image" -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ $tag }}
{{- end -}}
{{- end }}

{{/* Names of the APIServices, separated by commas. */}}
{{- define "ark.apiServiceNames" -}}
{{- $names := list -}}
{{- range .Values.apiService.versions -}}
{{- $names = append $names (printf "%s.%s" .version .group) -}}
{{- end -}}
{{- join "," $names -}}
{{- end }}

{{/* Whether a driver is in use, as the store or as the source of a copy; arguments: root, driver. */}}
{{- define "ark.uses" -}}
{{- if has .driver (list .root.Values.storage.driver .root.Values.storage.copyFrom) -}}true{{- end -}}
{{- end }}

{{/* Whether several pods may serve the store at once. During a copy, all old pods must be gone
     before the first new one starts, and one pod copies. */}}
{{- define "ark.shared" -}}
{{- $storage := .Values.storage -}}
{{- $writers := or (eq $storage.driver "postgresql") $storage.custom.address $storage.custom.multiWriter -}}
{{- if and $writers (ne $storage.driver "sqlite") (not $storage.copyFrom) -}}true{{- end -}}
{{- end }}

{{- define "ark.replicas" -}}
{{- $most := ternary 2 1 (eq (include "ark.shared" .) "true") -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{ $most }}
{{- else if .Values.storage.copyFrom -}}
{{ min .Values.replicas 1 }}
{{- else -}}
{{ .Values.replicas }}
{{- end -}}
{{- end }}

{{/* gateway.bindAddress as it is written before a port. */}}
{{- define "ark.anyAddress" -}}
{{- $address := .Values.gateway.bindAddress -}}
{{- ternary (printf "[%s]" $address) $address (contains ":" $address) -}}
{{- end }}

{{/* Kinds of Ark, by scope; the chart's tests compare them with kinds/ark. */}}
{{- define "ark.namespacedKinds" -}}
[a2aservers, a2atasks, agents, evaluations, evaluators, executionengines, mcpservers, memories, models, queries, teams, tools]
{{- end }}

{{- define "ark.clusterKinds" -}}
[arkconfigs]
{{- end }}

{{/* A size such as 512Mi in bytes. */}}
{{- define "ark.bytes" -}}
{{- $digits := int64 (regexFind "^[0-9]+" .) -}}
{{- $units := dict "" 1 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 -}}
{{- mul $digits (index $units (regexFind "[KMG]i$" .)) -}}
{{- end }}
