//! Flags of admission, with the names of kube-apiserver where one exists.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use super::Error;
use crate::admission::webhook::{Config, Credentials, Requirement};
use crate::config_file::{self, ConfigFileError};

/// The plugins of this server, in the order in which they run.
const PLUGINS: [&str; 3] = [NAMESPACE_LIFECYCLE, MUTATING, VALIDATING];
const NAMESPACE_LIFECYCLE: &str = "NamespaceLifecycle";
const MUTATING: &str = "MutatingAdmissionWebhook";
const VALIDATING: &str = "ValidatingAdmissionWebhook";

/// Flags that select the steps of admission.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Admission")]
pub struct AdmissionFlags {
    /// Admission plugins to enable besides the default ones, which are all: `NamespaceLifecycle`,
    /// `MutatingAdmissionWebhook` and `ValidatingAdmissionWebhook`.
    #[arg(
        long,
        env = "ARK_ENABLE_ADMISSION_PLUGINS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub enable_admission_plugins: Vec<String>,

    /// Admission plugins to disable.
    #[arg(
        long,
        env = "ARK_DISABLE_ADMISSION_PLUGINS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub disable_admission_plugins: Vec<String>,

    /// AdmissionConfiguration, which names the kubeconfig with credentials for webhooks.
    #[arg(long, env = "ARK_ADMISSION_CONTROL_CONFIG_FILE", value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,

    /// Whether the webhooks of the cluster are called: `required` rejects writes while their
    /// configurations cannot be read, `best-effort` lets them pass.
    #[arg(
        long,
        env = "ARK_WEBHOOK_ADMISSION",
        value_enum,
        default_value = "required",
        value_name = "MODE"
    )]
    pub webhook_admission: WebhookAdmission,
}

/// How admission webhooks are enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum WebhookAdmission {
    /// Writes are rejected while webhooks cannot be enforced.
    #[default]
    Required,
    /// Writes pass while webhooks cannot be enforced.
    BestEffort,
    /// Webhooks are not called.
    Off,
}

/// The steps of admission that need a cluster.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Whether creates in missing and terminating namespaces are rejected.
    pub namespace_lifecycle: bool,
    /// Which webhooks are called; none if no kind is.
    pub webhooks: Option<Config>,
}

impl AdmissionFlags {
    pub(super) fn admission(&self) -> Result<Admission, Error> {
        self.check()?;
        let disabled = &self.disable_admission_plugins;
        let enabled = |name: &str| !disabled.iter().any(|it| it == name);
        let credentials = |plugin: &str| -> Result<Option<Credentials>, Error> {
            let wanted = enabled(plugin) && self.webhook_admission != WebhookAdmission::Off;
            wanted.then(|| self.credentials(plugin)).transpose()
        };
        let (mutating, validating) = (credentials(MUTATING)?, credentials(VALIDATING)?);
        let any = mutating.is_some() || validating.is_some();
        Ok(Admission {
            namespace_lifecycle: enabled(NAMESPACE_LIFECYCLE),
            webhooks: any.then_some(Config {
                requirement: match self.webhook_admission {
                    WebhookAdmission::Required => Requirement::Required,
                    WebhookAdmission::BestEffort | WebhookAdmission::Off => Requirement::BestEffort,
                },
                mutating,
                validating,
            }),
        })
    }

    /// Rejects unknown names, and those in both lists, as kube-apiserver does.
    fn check(&self) -> Result<(), Error> {
        let lists = [
            ("enable", &self.enable_admission_plugins),
            ("disable", &self.disable_admission_plugins),
        ];
        for (list, names) in lists {
            for name in names {
                // bounded: three plugins, and the flags of an operator.
                if !PLUGINS.contains(&name.as_str()) {
                    return Err(Error::UnknownPlugin {
                        list,
                        name: name.clone(),
                        known: PLUGINS.join(", "),
                    });
                }
            }
        }
        let mut enabled = self.enable_admission_plugins.iter();
        // bounded: as above, once names are known.
        match enabled.find(|name| self.disable_admission_plugins.contains(name)) {
            Some(name) => Err(Error::OverlappingPlugin(name.clone())),
            None => Ok(()),
        }
    }

    fn credentials(&self, plugin: &str) -> Result<Credentials, Error> {
        let Some(path) = &self.admission_control_config_file else {
            return Ok(Credentials::default());
        };
        Ok(credentials(path, plugin)?)
    }
}

/// The credentials of a plugin in an AdmissionConfiguration.
fn credentials(path: &Path, plugin: &str) -> Result<Credentials, ConfigFileError> {
    let invalid = |problem: &str| ConfigFileError::invalid(path, problem);
    let config = config_file::read(path)?;
    if config["kind"] != "AdmissionConfiguration" {
        return Err(invalid("kind is not AdmissionConfiguration"));
    }
    let mut plugins = config["plugins"].as_array().into_iter().flatten();
    let Some(entry) = plugins.find(|entry| entry["name"] == plugin) else {
        return Ok(Credentials::default());
    };
    let configuration = match (&entry["configuration"], entry["path"].as_str()) {
        (configuration @ Value::Object(_), _) => configuration.clone(),
        (_, Some(file)) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            config_file::read(&folder.join(file))?
        }
        (_, None) => return Ok(Credentials::default()),
    };
    // `WebhookAdmission` is the name of version apiserver.config.k8s.io/v1alpha1.
    let kinds = ["WebhookAdmissionConfiguration", "WebhookAdmission"];
    if !kinds.iter().any(|kind| configuration["kind"] == *kind) {
        return Err(invalid(
            "the configuration of a webhook plugin has another kind",
        ));
    }
    if configuration["staticManifestsDir"].is_string() {
        return Err(invalid("staticManifestsDir is not supported"));
    }
    match configuration["kubeConfigFile"].as_str() {
        None | Some("") => Ok(Credentials::default()),
        Some(file) if Path::new(file).is_absolute() => Ok(Credentials::read(Path::new(file))?),
        Some(_) => Err(invalid("kubeConfigFile must be an absolute file path")),
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            namespace_lifecycle: true,
            webhooks: Some(Config {
                requirement: Requirement::Required,
                mutating: Some(Credentials::default()),
                validating: Some(Credentials::default()),
            }),
        }
    }
}
