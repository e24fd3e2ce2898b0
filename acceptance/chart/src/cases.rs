//! Values with which the chart is rendered.

/// One rendering.
#[derive(Debug)]
pub(crate) struct Case {
    /// Name in reports.
    pub(crate) name: String,
    /// Values files, later ones first in precedence.
    pub(crate) values: Vec<&'static str>,
    /// Whether `helm lint` runs as well.
    pub(crate) lint: bool,
    /// What follows for the pods.
    pub(crate) pods: Pods,
    /// Whether the restricted level of pod security admits the pods.
    pub(crate) restricted: bool,
}

/// Expected pods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pods {
    pub(crate) replicas: u64,
    pub(crate) strategy: &'static str,
    /// Names of the init containers, in order.
    pub(crate) init: &'static [&'static str],
}

const ONE: Pods = Pods {
    replicas: 1,
    strategy: "Recreate",
    init: &["driver"],
};
const TWO: Pods = Pods {
    replicas: 2,
    strategy: "RollingUpdate",
    init: &["driver"],
};
const MIGRATED: Pods = Pods {
    init: &["migrate", "driver"],
    ..TWO
};

/// Name of the case without APIServices.
pub(crate) const BESIDE_CRDS: &str = "beside CRDs";

/// Values of PostgreSQL, which other cases extend.
pub(crate) const POSTGRESQL: &str =
    "storage: {driver: postgresql, postgresql: {host: db.example, existingSecret: db}}";

const DRIVERS: &[(&str, &str, Pods)] = &[
    ("sqlite", "{}", ONE),
    ("postgresql", POSTGRESQL, MIGRATED),
    (
        "custom",
        "storage: {driver: custom, custom: {image: {repository: example.com/driver, tag: v1}, \
         command: [/driver], args: [--region=a], env: [{name: A, value: b}]}}",
        ONE,
    ),
    (
        "remote",
        "storage: {driver: custom, custom: {address: 'https://driver.example:7000', \
         tlsSecretName: driver-tls}}",
        Pods { init: &[], ..TWO },
    ),
];

const TLS: &[(&str, &str)] = &[
    ("selfManaged", "{}"),
    ("certManager", "tls: {mode: certManager}"),
    (
        "provided",
        "{tls: {mode: provided, provided: {secretName: cert}}, \
         apiService: {caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}}",
    ),
];

const EVERYTHING: &str = "
nameOverride: store
serviceNameOverride: front
imagePullSecrets: [{name: pull}]
priorityClassName: system-cluster-critical
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
  {matchExpressions: [{key: a, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule,
  labelSelector: {matchLabels: {app.kubernetes.io/name: ark-apiserver}}}]
extraVolumes: [{name: extra, emptyDir: {}}]
audit:
  enabled: true
  policy: {rules: [{level: Request, verbs: [create]}, {level: Metadata}]}
  log: {path: /extra/audit.log, mode: blocking}
  webhook: {kubeconfigSecretName: audit}
  extraArgs: [--audit-webhook-batch-max-size=50]
gateway:
  image: {digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}
  extraArgs: [--watch-replay=100]
  extraEnv: [{name: A, value: b}]
  extraVolumeMounts: [{name: extra, mountPath: /extra}]
storage: {extraArgs: [--keep-seconds=60], extraEnv: [{name: B, value: c}],
  extraVolumeMounts: [{name: extra, mountPath: /extra}]}
apiService: {annotations: {a: b}, groupPriorityMinimum: 2000}
service: {port: 6443, annotations: {a: b}, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4]}
serviceAccount: {name: account, annotations: {a: b}}
authorization: {trustFrontProxy: true}
policy: {thirdPartyWebhooks: {enabled: true, required: false}}
resourceDefinitions: {configMaps: [kinds-a, kinds-b]}
flowSchemas: {reviewsPriorityLevel: workload-high}
networkPolicy: {controlPlaneCIDRs: [10.0.0.0/28, 'fd00::/64'], extraIngressFrom: [{podSelector: {}}],
  metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
metrics:
  serviceMonitor: {enabled: true, labels: {release: prometheus},
    serviceAccount: {name: prometheus, namespace: monitoring}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
  dashboard: {enabled: true}
";

const OPTIONS: &[(&str, &[&str], Pods, bool)] = &[
    ("everything, sqlite", &[EVERYTHING], ONE, true),
    (
        "everything, postgresql",
        &[POSTGRESQL, EVERYTHING],
        MIGRATED,
        true,
    ),
    (
        "sqlite to postgresql",
        &[POSTGRESQL, "storage: {copyFrom: sqlite}"],
        Pods {
            init: &["migrate", "source", "driver", "copy"],
            ..ONE
        },
        true,
    ),
    (
        "postgresql to sqlite",
        &[
            POSTGRESQL,
            "storage: {driver: sqlite, copyFrom: postgresql}",
        ],
        Pods {
            init: &["migrate", "source", "driver", "copy"],
            ..ONE
        },
        true,
    ),
    (
        "sqlite to custom",
        &[
            "storage: {driver: custom, copyFrom: sqlite, custom: {multiWriter: true, \
           image: {repository: example.com/driver}}}",
        ],
        Pods {
            init: &["source", "driver", "copy"],
            ..ONE
        },
        true,
    ),
    (
        "several custom writers",
        &[
            "{replicas: 3, storage: {driver: custom, custom: {multiWriter: true, \
           image: {repository: example.com/driver}}}}",
        ],
        Pods { replicas: 3, ..TWO },
        true,
    ),
    (
        "database with TLS, a pooler and an owner",
        &[
            POSTGRESQL,
            "storage: {postgresql: {sslMode: verify-full, sslSecretName: db-tls, \
             sslRootCertKey: ca.crt, sslClientCertKey: tls.crt, sslClientKeyKey: tls.key, \
             pooler: transaction, notifySecretName: direct, \
             migration: {username: owner, existingSecret: owner}}}",
        ],
        MIGRATED,
        true,
    ),
    (
        "database without password and migration",
        &[
            POSTGRESQL,
            "storage: {postgresql: {existingSecret: '', migration: {enabled: false}}}",
        ],
        TWO,
        true,
    ),
    (
        "stopped",
        &["replicas: 0"],
        Pods { replicas: 0, ..ONE },
        true,
    ),
    (
        "sqlite without a claim",
        &["storage: {sqlite: {persistence: {enabled: false}}}"],
        ONE,
        true,
    ),
    (
        "claim of the user",
        &["storage: {sqlite: {path: /var/lib/ark/x.db, persistence: {existingClaim: mine}}}"],
        ONE,
        true,
    ),
    (
        "host network",
        &["{hostNetwork: true, gateway: {securePort: 10260}}"],
        ONE,
        false,
    ),
    (
        "OpenShift",
        &["podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}"],
        ONE,
        true,
    ),
    (
        "IPv6",
        &["{gateway: {bindAddress: '::'}, service: {ipFamilies: [IPv4]}}"],
        ONE,
        true,
    ),
    (
        "issuer of the user",
        &["tls: {mode: certManager, certManager: {issuerRef: {name: vault, kind: ClusterIssuer}}}"],
        ONE,
        true,
    ),
    (
        "certificate injected by the cluster",
        &[
            "{tls: {mode: provided, provided: {secretName: cert}}, apiService: {annotations: \
           {service.beta.openshift.io/inject-cabundle: 'true'}}}",
        ],
        ONE,
        true,
    ),
    (
        "unverified server",
        &["{tls: {mode: provided, provided: {secretName: cert}}, \
           apiService: {insecureSkipTLSVerify: true}}"],
        ONE,
        true,
    ),
    (
        "other kinds only",
        &[
            "{resourceDefinitions: {configMaps: [kinds], noDefaults: true}, apiService: {versions: \
           [{group: example.com, version: v1, versionPriority: 20}]}}",
        ],
        ONE,
        true,
    ),
    (
        BESIDE_CRDS,
        &["{apiService: {create: false}, tls: {mode: provided, provided: {secretName: cert}}}"],
        ONE,
        true,
    ),
    (
        "least",
        &[
            "{rbac: {aggregate: false}, flowSchemas: {enabled: false}, networkPolicy: {enabled: \
           false}, metrics: {driverPort: 0}, podDisruptionBudget: {enabled: false}}",
        ],
        ONE,
        true,
    ),
];

/// Each driver in each TLS mode, and the options.
pub(crate) fn all() -> Vec<Case> {
    let matrix = DRIVERS.iter().flat_map(|(driver, storage, pods)| {
        TLS.iter().map(move |(mode, tls)| Case {
            name: format!("{driver}, {mode}"),
            values: vec![*storage, *tls],
            lint: *mode == "selfManaged",
            pods: *pods,
            restricted: true,
        })
    });
    let options = OPTIONS.iter().map(|(name, values, pods, restricted)| Case {
        name: (*name).to_owned(),
        values: values.to_vec(),
        lint: values.contains(&EVERYTHING),
        pods: *pods,
        restricted: *restricted,
    });
    matrix.chain(options).collect()
}
