{{/* A storage driver as a container that starts before the gateway and stops after it.
     Arguments: root, driver, name, socket, serving (whether it is the store of the gateway). */}}
{{- define "ark.driver.container" -}}
{{- $storage := .root.Values.storage -}}
{{- $own := index $storage .driver -}}
name: {{ .name }}
image: {{ include "ark.image" (dict "root" .root "image" $own.image) }}
imagePullPolicy: {{ $own.image.pullPolicy }}
restartPolicy: Always
{{- if eq .driver "custom" }}
{{- with $own.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
args:
  - --listen=unix:///run/ark/{{ .socket }}
  {{- if .serving }}
  {{- with .root.Values.metrics.driverPort }}
  - --metrics-listen={{ include "ark.anyAddress" $.root }}:{{ . }}
  {{- end }}
  {{- end }}
  {{- include (printf "ark.driver.args.%s" .driver) .root | nindent 2 }}
  {{- if .serving }}
  {{- range $storage.extraArgs }}
  - {{ . | quote }}
  {{- end }}
  {{- end }}
{{- $env := concat (ternary $own.env list (eq .driver "custom")) $storage.extraEnv }}
{{- if or $env (eq .driver "postgresql") }}
env:
  {{- if eq .driver "postgresql" }}
  {{- include "ark.postgresql.env" .root | nindent 2 }}
  {{- end }}
  {{- with $env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if and .serving .root.Values.metrics.driverPort }}
ports:
  - {name: driver-metrics, containerPort: {{ .root.Values.metrics.driverPort }}}
{{- end }}
resources:
  {{- toYaml $storage.driverResources | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  - {name: socket, mountPath: /run/ark}
  {{- if eq .driver "sqlite" }}
  - {name: data, mountPath: {{ dir $own.path }}}
  {{- else if eq .driver "postgresql" }}
  {{- with include "ark.postgresql.mounts" .root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- else }}
  {{- with $own.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with $storage.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "ark.driver.args.sqlite" -}}
- --path={{ .Values.storage.sqlite.path }}
{{- end }}

{{- define "ark.driver.args.postgresql" -}}
- --username={{ .Values.storage.postgresql.username }}
{{- if .Values.storage.postgresql.existingSecret }}
- --password-file=/run/postgresql/password
{{- end }}
{{- end }}

{{- define "ark.driver.args.custom" -}}
{{- range .Values.storage.custom.args }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* The database, for serving and for migrations. */}}
{{- define "ark.postgresql.env" -}}
{{- $pg := .Values.storage.postgresql -}}
- {name: ARK_BACKEND_POSTGRES_HOST, value: {{ $pg.host | quote }}}
- {name: ARK_BACKEND_POSTGRES_PORT, value: {{ $pg.port | quote }}}
- {name: ARK_BACKEND_POSTGRES_DATABASE, value: {{ $pg.database | quote }}}
- {name: ARK_BACKEND_POSTGRES_SSLMODE, value: {{ $pg.sslMode }}}
- {name: ARK_BACKEND_POSTGRES_POOLER, value: {{ $pg.pooler }}}
{{- if $pg.sslRootCertKey }}
- {name: ARK_BACKEND_POSTGRES_SSLROOTCERT, value: /run/postgresql-tls/{{ $pg.sslRootCertKey }}}
{{- end }}
{{- if $pg.sslClientCertKey }}
- {name: ARK_BACKEND_POSTGRES_SSLCERT, value: /run/postgresql-tls/{{ $pg.sslClientCertKey }}}
- {name: ARK_BACKEND_POSTGRES_SSLKEY, value: /run/postgresql-tls/{{ $pg.sslClientKeyKey }}}
{{- end }}
{{- if $pg.notifySecretName }}
- name: ARK_BACKEND_POSTGRES_NOTIFY_DSN
  valueFrom: {secretKeyRef: {name: {{ $pg.notifySecretName }}, key: {{ $pg.notifySecretKey }}}}
{{- end }}
{{- end }}

{{- define "ark.postgresql.mounts" -}}
{{- if .Values.storage.postgresql.existingSecret }}
- {name: postgresql-password, mountPath: /run/postgresql, readOnly: true}
{{- end }}
{{- if .Values.storage.postgresql.sslSecretName }}
- {name: postgresql-tls, mountPath: /run/postgresql-tls, readOnly: true}
{{- end }}
{{- end }}

{{/* Creates or upgrades the schema; does nothing if it is current or newer. */}}
{{- define "ark.migrate.container" -}}
{{- $pg := .Values.storage.postgresql -}}
{{- $migration := $pg.migration -}}
name: migrate
image: {{ include "ark.image" (dict "root" . "image" $pg.image) }}
imagePullPolicy: {{ $pg.image.pullPolicy }}
args:
  - migrate
  - --username={{ default $pg.username $migration.username }}
  {{- if $migration.existingSecret }}
  - --password-file=/run/postgresql-owner/password
  {{- else if $pg.existingSecret }}
  - --password-file=/run/postgresql/password
  {{- end }}
  {{- if and $migration.username (ne $migration.username $pg.username) }}
  - --grant={{ $pg.username }}
  {{- end }}
env:
  {{- include "ark.postgresql.env" . | nindent 2 }}
resources:
  {{- toYaml .Values.storage.driverResources | nindent 2 }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- $mounts := include "ark.postgresql.mounts" . | trim }}
{{- if or $mounts $migration.existingSecret }}
volumeMounts:
  {{- with $mounts }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if $migration.existingSecret }}
  - {name: postgresql-owner-password, mountPath: /run/postgresql-owner, readOnly: true}
  {{- end }}
{{- end }}
{{- end }}

{{/* Carries the objects of `copyFrom` into the store, fences the source and compares both; does
     nothing if an earlier run has done so. */}}
{{- define "ark.copy.container" -}}
{{- $storage := .Values.storage -}}
{{- $ours := ternary $storage.copyFrom $storage.driver (eq $storage.driver "custom") -}}
{{- $image := (index $storage $ours).image -}}
name: copy
image: {{ include "ark.image" (dict "root" . "image" $image) }}
imagePullPolicy: {{ $image.pullPolicy }}
command: [/arkctl]
args:
  - copy
  - --from=unix:///run/ark/source.sock
  - --to=unix:///run/ark/backend.sock
  - --live
  - --accept-moved
  - --wait=300
  - --reason=moved to {{ $storage.driver }} by the chart ark-apiserver
resources:
  {{- toYaml $storage.driverResources | nindent 2 }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  - {name: socket, mountPath: /run/ark}
{{- end }}
