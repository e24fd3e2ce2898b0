{{/* The flags of `ark-apiserver serve`, all in one place: chart/README.md lists what the chart
     expects of each. In a cluster, delegated authentication and authorization need none. */}}
{{- define "ark.gateway.args" -}}
{{- $v := .Values -}}
- serve
{{- if $v.storage.custom.address | and (eq $v.storage.driver "custom") }}
- "--backend={{ $v.storage.custom.address }}"
- --backend-ca=/run/backend-tls/ca.crt
- --backend-cert=/run/backend-tls/tls.crt
- --backend-key=/run/backend-tls/tls.key
{{- else }}
- --backend=unix:///run/ark/backend.sock
{{- end }}
- "--bind-address={{ $v.gateway.bindAddress }}"
- "--secure-port={{ $v.gateway.securePort }}"
{{- if eq $v.tls.mode "selfManaged" }}
- "--self-managed-tls-secret={{ .Release.Namespace }}/{{ include "ark.tlsSecretName" . }}"
- "--self-managed-tls-service={{ .Release.Namespace }}/{{ include "ark.serviceName" . }}"
- "--self-managed-tls-apiservices={{ include "ark.apiServiceNames" . }}"
{{- else }}
- --tls-cert-file=/run/tls/tls.crt
- --tls-private-key-file=/run/tls/tls.key
{{- end }}
{{- range $v.resourceDefinitions.configMaps }}
- "--resources=/etc/ark/resources/{{ . }}"
{{- end }}
{{- if $v.resourceDefinitions.noDefaults }}
- --no-default-resources
{{- end }}
{{- if $v.authorization.trustFrontProxy }}
- --authorization-trust-front-proxy
{{- end }}
{{- with $v.policy.thirdPartyWebhooks }}
- "--webhook-admission={{ if not .enabled }}off{{ else if .required }}required{{ else }}best-effort{{ end }}"
{{- end }}
{{- if $v.audit.enabled }}
- --audit-policy-file=/etc/ark/audit/policy.yaml
{{- with $v.audit.log }}
{{- if .path }}
- "--audit-log-path={{ .path }}"
- "--audit-log-mode={{ .mode }}"
{{- if ne .path "-" }}
- "--audit-log-maxsize={{ .maxSize }}"
- "--audit-log-maxbackup={{ .maxBackups }}"
- "--audit-log-maxage={{ .maxAge }}"
- "--audit-log-compress={{ .compress }}"
{{- end }}
{{- end }}
{{- end }}
{{- with $v.audit.webhook }}
{{- if .kubeconfigSecretName }}
- --audit-webhook-config-file=/run/audit-webhook/kubeconfig
- "--audit-webhook-mode={{ .mode }}"
- "--audit-webhook-truncate-enabled={{ .truncate }}"
{{- end }}
{{- end }}
{{- range $v.audit.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
- "--max-requests-inflight={{ $v.gateway.maxRequestsInflight }}"
- "--max-mutating-requests-inflight={{ $v.gateway.maxMutatingRequestsInflight }}"
- "--watch-cache-bytes={{ $v.gateway.watchCacheBytes }}"
- "--log={{ $v.gateway.logLevel }}"
- "--log-format={{ $v.gateway.logFormat }}"
{{- range $v.gateway.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "ark.gateway.container" -}}
{{- $v := .Values -}}
name: gateway
image: {{ include "ark.image" (dict "root" . "image" $v.gateway.image) }}
imagePullPolicy: {{ $v.gateway.image.pullPolicy }}
args:
  {{- include "ark.gateway.args" . | nindent 2 }}
{{- with $v.gateway.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: https, containerPort: {{ $v.gateway.securePort }}}
{{- /* A pod without storage stays in the Service: discovery needs none (ADR 23). */}}
{{- range $probe, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz?exclude=storage" }}
{{ $probe }}:
  httpGet: {scheme: HTTPS, port: https, path: {{ $path | quote }}}
  {{- toYaml (index $v.gateway $probe) | nindent 2 }}
{{- end }}
resources:
  {{- toYaml $v.gateway.resources | nindent 2 }}
securityContext:
  {{- toYaml $v.containerSecurityContext | nindent 2 }}
volumeMounts:
  - {name: socket, mountPath: /run/ark}
  # Only this container gets the token of the service account; drivers need none.
  - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  {{- if ne $v.tls.mode "selfManaged" }}
  - {name: tls, mountPath: /run/tls, readOnly: true}
  {{- end }}
  {{- if and (eq $v.storage.driver "custom") $v.storage.custom.address }}
  - {name: backend-tls, mountPath: /run/backend-tls, readOnly: true}
  {{- end }}
  {{- range $i, $_ := $v.resourceDefinitions.configMaps }}
  - {name: resources-{{ $i }}, mountPath: /etc/ark/resources/{{ . }}, readOnly: true}
  {{- end }}
  {{- if $v.audit.enabled }}
  - {name: audit, mountPath: /etc/ark/audit, readOnly: true}
  {{- if $v.audit.webhook.kubeconfigSecretName }}
  - {name: audit-webhook, mountPath: /run/audit-webhook, readOnly: true}
  {{- end }}
  {{- end }}
  {{- with $v.gateway.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
