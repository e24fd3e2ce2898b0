//! Values that the chart must reject, with the message that names them.

use anyhow::Result;

use crate::cases::POSTGRESQL;
use crate::helm::Helm;
use crate::report::Report;

/// Values, and a part of the message.
const REFUSED: &[(&[&str], &str)] = &[
    (&["storag: {}"], "'storag' not allowed"),
    (
        &["gateway: {port: 1}"],
        "at '/gateway': additional properties 'port'",
    ),
    (
        &["policy: {cel: {enabled: true}}"],
        "at '/policy/cel/enabled'",
    ),
    (
        &["storage: {driver: mysql}"],
        "at '/storage/driver': value must be one of",
    ),
    (
        &["storage: {driver: postgres}"],
        "at '/storage/driver': value must be one of",
    ),
    (
        &["storage: {sqlite: {path: ark.db}}"],
        "at '/storage/sqlite/path'",
    ),
    (
        &["storage: {sqlite: {path: /ark.db}}"],
        "at '/storage/sqlite/path'",
    ),
    (
        &["storage: {sqlite: {persistence: {size: big}}}"],
        "at '/storage/sqlite/persistence/size'",
    ),
    (
        &["storage: {postgresql: {port: 70000}}"],
        "at '/storage/postgresql/port'",
    ),
    (
        &["storage: {postgresql: {sslMode: 'on'}}"],
        "at '/storage/postgresql/sslMode'",
    ),
    (
        &["storage: {custom: {address: 'http://x:1'}}"],
        "at '/storage/custom/address'",
    ),
    (&["gateway: {securePort: 443}"], "at '/gateway/securePort'"),
    (
        &["gateway: {watchCacheBytes: 1GB}"],
        "at '/gateway/watchCacheBytes'",
    ),
    (
        &["gateway: {image: {digest: abc}}"],
        "at '/gateway/image/digest'",
    ),
    (
        &["tls: {mode: none}"],
        "at '/tls/mode': value must be one of",
    ),
    (
        &["terminationGracePeriodSeconds: 5"],
        "at '/terminationGracePeriodSeconds'",
    ),
    (&["replicas: -1"], "at '/replicas'"),
    (&["apiService: {versions: []}"], "at '/apiService/versions'"),
    (
        &["apiService: {caBundle: not base64}"],
        "at '/apiService/caBundle'",
    ),
    (
        &[
            "{tls: {mode: provided, provided: {secretName: s}}, apiService: {insecureSkipTLSVerify: \
           true, caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}}",
        ],
        "at '/apiService/caBundle': value must be ''",
    ),
    (
        &["networkPolicy: {controlPlaneCIDRs: [everywhere]}"],
        "at '/networkPolicy/controlPlaneCIDRs/0'",
    ),
    (
        &["flowSchemas: {watchesPriorityLevel: exempt}"],
        "at '/flowSchemas/watchesPriorityLevel'",
    ),
    (&["metrics: {driverPort: 80}"], "at '/metrics/driverPort'"),
    (
        &["audit: {policy: {rules: [{users: [a]}]}}"],
        "at '/audit/policy/rules/0'",
    ),
    (
        &["audit: {enabled: true, log: {path: ''}}"],
        "audit.enabled: no backend; set audit.log.path",
    ),
    (&["replicas: 2"], "replicas: an SQLite file has one pod"),
    (
        &["{replicas: 2, storage: {driver: custom, custom: {image: {repository: x}}}}"],
        "set storage.custom.multiWriter=true",
    ),
    (
        &["storage: {copyFrom: sqlite}"],
        "storage.copyFrom: sqlite is also storage.driver",
    ),
    (
        &["storage: {copyFrom: postgresql}"],
        "storage.postgresql.host is empty",
    ),
    (
        &["storage: {driver: postgresql}"],
        "storage.postgresql.host is empty",
    ),
    (
        &["storage: {driver: custom}"],
        "storage.custom: set image.repository, or address",
    ),
    (
        &["storage: {driver: custom, custom: {address: 'https://x:1'}}"],
        "storage.custom.address needs storage.custom.tlsSecretName",
    ),
    (
        &[
            "storage: {driver: custom, custom: {address: 'https://x:1', tlsSecretName: s, image: \
           {repository: x}}}",
        ],
        "image.repository and address exclude each other",
    ),
    (
        &[
            "storage: {driver: custom, copyFrom: sqlite, custom: {address: 'https://x:1', \
           tlsSecretName: s}}",
        ],
        "not with storage.custom.address",
    ),
    (
        &[POSTGRESQL, "storage: {postgresql: {sslMode: verify-full}}"],
        "sslMode=verify-full needs sslSecretName and sslRootCertKey",
    ),
    (
        &[
            POSTGRESQL,
            "storage: {postgresql: {sslRootCertKey: ca.crt}}",
        ],
        "are keys of sslSecretName, which is empty",
    ),
    (
        &[
            POSTGRESQL,
            "storage: {postgresql: {sslSecretName: s, sslClientCertKey: tls.crt}}",
        ],
        "sslClientCertKey and sslClientKeyKey belong together",
    ),
    (
        &["tls: {mode: provided}"],
        "tls.mode=provided needs tls.provided.secretName",
    ),
    (
        &["tls: {mode: provided, provided: {secretName: s}}"],
        "tls.mode=provided needs apiService.caBundle",
    ),
    (
        &["apiService: {caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}"],
        "tls.mode=selfManaged writes it itself",
    ),
    (&["hostNetwork: true"], "the kubelet of the node uses 10250"),
    (
        &["metrics: {driverPort: 10250}"],
        "metrics.driverPort equals gateway.securePort",
    ),
];

/// Renders with each of them.
pub(crate) async fn check(helm: &Helm, report: &mut Report) -> Result<()> {
    for (values, part) in REFUSED {
        let case = values.join(" ");
        match helm.template(values).await {
            Ok(_) => report.record(&case, Err(anyhow::anyhow!("was accepted"))),
            Err(error) => {
                let message = error.to_string();
                report.expect(&case, message.contains(part), || {
                    format!("the message lacks {part:?}: {message}")
                });
            }
        }
    }
    Ok(())
}
