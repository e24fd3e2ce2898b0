{{/* Volumes of the pod. Secrets have mode 288, which is 0440: YAML 1.1 and 1.2 disagree about octal. */}}
{{- define "ark.volumes" -}}
{{- $v := .Values -}}
{{- $pg := $v.storage.postgresql -}}
# The socket between gateway and driver.
- name: socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
# What automountServiceAccountToken would mount into every container.
- name: token
  projected:
    defaultMode: 288
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- if eq $v.tls.mode "certManager" }}
- name: tls
  secret: {secretName: {{ include "ark.name" . }}-serving, defaultMode: 288}
{{- else if eq $v.tls.mode "provided" }}
- name: tls
  secret: {secretName: {{ $v.tls.provided.secretName }}, defaultMode: 288}
{{- end }}
{{- if include "ark.uses" (dict "root" . "driver" "sqlite") }}
- name: data
  {{- if $v.storage.sqlite.persistence.enabled }}
  persistentVolumeClaim: {claimName: {{ include "ark.claimName" . }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- if include "ark.uses" (dict "root" . "driver" "postgresql") }}
{{- if $pg.existingSecret }}
- name: postgresql-password
  secret:
    secretName: {{ $pg.existingSecret }}
    defaultMode: 288
    items: [{key: {{ $pg.existingSecretKey }}, path: password}]
{{- end }}
{{- if $pg.migration.existingSecret | and $pg.migration.enabled }}
- name: postgresql-owner-password
  secret:
    secretName: {{ $pg.migration.existingSecret }}
    defaultMode: 288
    items: [{key: {{ $pg.migration.existingSecretKey }}, path: password}]
{{- end }}
{{- if $pg.sslSecretName }}
- name: postgresql-tls
  secret: {secretName: {{ $pg.sslSecretName }}, defaultMode: 288}
{{- end }}
{{- end }}
{{- if and (eq $v.storage.driver "custom") $v.storage.custom.address }}
- name: backend-tls
  secret: {secretName: {{ $v.storage.custom.tlsSecretName }}, defaultMode: 288}
{{- end }}
{{- range $i, $name := $v.resourceDefinitions.configMaps }}
- name: resources-{{ $i }}
  configMap: {name: {{ $name }}}
{{- end }}
{{- if $v.audit.enabled }}
- name: audit
  configMap: {name: {{ include "ark.name" . }}-audit}
{{- if $v.audit.webhook.kubeconfigSecretName }}
- name: audit-webhook
  secret:
    secretName: {{ $v.audit.webhook.kubeconfigSecretName }}
    defaultMode: 288
    items: [{key: {{ $v.audit.webhook.kubeconfigSecretKey }}, path: kubeconfig}]
{{- end }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
