{{/* Rules between values, which a schema cannot explain: each failure names the values and the fix. */}}
{{- define "ark.validate" -}}
{{- $v := .Values -}}
{{- $storage := $v.storage -}}
{{- $problems := list -}}

{{- if and (eq $storage.driver "sqlite") (gt (int (default 1 $v.replicas)) 1) -}}
{{- $problems = append $problems "replicas: an SQLite file has one pod; set replicas to 1, or use storage.driver=postgresql" -}}
{{- end -}}
{{- if and (eq $storage.driver "custom") (not $storage.custom.address) (not $storage.custom.multiWriter) (gt (int (default 1 $v.replicas)) 1) -}}
{{- $problems = append $problems "replicas: several pods need a driver that shares its store; set storage.custom.multiWriter=true if it does, or replicas to 1" -}}
{{- end -}}
{{- if eq $storage.copyFrom $storage.driver -}}
{{- $problems = append $problems (printf "storage.copyFrom: %s is also storage.driver; name the driver that has the objects now" $storage.driver) -}}
{{- end -}}
{{- if and (include "ark.uses" (dict "root" . "driver" "postgresql")) (not $storage.postgresql.host) -}}
{{- $problems = append $problems "storage.postgresql.host is empty; set the name of the database server" -}}
{{- end -}}
{{- if and (include "ark.uses" (dict "root" . "driver" "sqlite")) (not (isAbs $storage.sqlite.path)) -}}
{{- $problems = append $problems "storage.sqlite.path must be absolute, such as /data/ark.db" -}}
{{- end -}}
{{- if include "ark.uses" (dict "root" . "driver" "custom") -}}
{{- if not (or $storage.custom.image.repository $storage.custom.address) -}}
{{- $problems = append $problems "storage.custom: set image.repository, or address for a driver that runs elsewhere" -}}
{{- end -}}
{{- if and $storage.custom.image.repository $storage.custom.address -}}
{{- $problems = append $problems "storage.custom: image.repository and address exclude each other" -}}
{{- end -}}
{{- if and $storage.custom.address (not $storage.custom.tlsSecretName) -}}
{{- $problems = append $problems "storage.custom.address needs storage.custom.tlsSecretName, a Secret with ca.crt, tls.crt and tls.key" -}}
{{- end -}}
{{- if and $storage.custom.address $storage.copyFrom -}}
{{- $problems = append $problems "storage.copyFrom: not with storage.custom.address; use arkctl copy where that driver runs" -}}
{{- end -}}
{{- end -}}
{{- with $storage.postgresql -}}
{{- if and (has .sslMode (list "verify-ca" "verify-full")) (not .sslRootCertKey) -}}
{{- $problems = append $problems (printf "storage.postgresql.sslMode=%s needs sslSecretName and sslRootCertKey" .sslMode) -}}
{{- end -}}
{{- if and (or .sslRootCertKey .sslClientCertKey) (not .sslSecretName) -}}
{{- $problems = append $problems "storage.postgresql: sslRootCertKey and sslClientCertKey are keys of sslSecretName, which is empty" -}}
{{- end -}}
{{- if ne (empty .sslClientCertKey) (empty .sslClientKeyKey) -}}
{{- $problems = append $problems "storage.postgresql: sslClientCertKey and sslClientKeyKey belong together" -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.tls.mode "provided") (not $v.tls.provided.secretName) -}}
{{- $problems = append $problems "tls.mode=provided needs tls.provided.secretName, a Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and $v.apiService.create (eq $v.tls.mode "provided") (not (or $v.apiService.caBundle $v.apiService.annotations $v.apiService.insecureSkipTLSVerify)) -}}
{{- $problems = append $problems "tls.mode=provided needs apiService.caBundle, or an annotation in apiService.annotations by which the cluster injects it" -}}
{{- end -}}
{{- if and (ne $v.tls.mode "provided") $v.apiService.caBundle -}}
{{- $problems = append $problems (printf "apiService.caBundle: tls.mode=%s writes it itself; leave it empty, or use tls.mode=provided" $v.tls.mode) -}}
{{- end -}}
{{- if and $v.hostNetwork (eq (int $v.gateway.securePort) 10250) -}}
{{- $problems = append $problems "gateway.securePort: with hostNetwork, the kubelet of the node uses 10250; choose another port, such as 10260" -}}
{{- end -}}
{{- if and (eq (int $v.gateway.securePort) (int $v.metrics.driverPort)) -}}
{{- $problems = append $problems "metrics.driverPort equals gateway.securePort; choose another port, or 0" -}}
{{- end -}}
{{- if and $v.audit.enabled (not (or $v.audit.log.path $v.audit.webhook.kubeconfigSecretName)) -}}
{{- $problems = append $problems "audit.enabled: no backend; set audit.log.path or audit.webhook.kubeconfigSecretName" -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n  %s\n" (join "\n  " .)) -}}
{{- end -}}
{{- end }}
