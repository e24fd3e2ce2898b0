//! The served kinds: Ark's, compiled in, and those of `--resources`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Error, Size};
use crate::resources::{self, BuiltIn, Catalog, Manifest};

/// A manifest of `kinds/ark` and its name.
macro_rules! default {
    ($name:literal) => {
        (
            concat!("kinds/ark/", $name),
            include_str!(concat!("../../../kinds/ark/", $name)),
        )
    };
}

/// Ark's kinds; a test compares the list with the directory.
const DEFAULTS: &[(&str, &str)] = &[
    default!("a2aservers.yaml"),
    default!("a2atasks.yaml"),
    default!("agents.yaml"),
    default!("arkconfigs.yaml"),
    default!("evaluations.yaml"),
    default!("evaluators.yaml"),
    default!("executionengines.yaml"),
    default!("mcpservers.yaml"),
    default!("memories.yaml"),
    default!("models.yaml"),
    default!("queries.yaml"),
    default!("teams.yaml"),
    default!("tools.yaml"),
];

/// Flags that select the served kinds.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Kinds")]
pub struct Kinds {
    /// A directory or file of CRD manifests to serve; its resources replace compiled-in resources
    /// of the same name. May be repeated. Reloaded on SIGHUP, and when the files change.
    #[arg(long, env = "ARK_RESOURCES", value_name = "DIR", value_delimiter = ',')]
    pub resources: Vec<PathBuf>,

    /// Serve only the kinds of --resources, not the compiled-in ones.
    #[arg(long, env = "ARK_NO_DEFAULT_RESOURCES")]
    pub no_default_resources: bool,

    /// Largest request body for resources whose manifest sets no limit.
    #[arg(
        long,
        env = "ARK_MAX_REQUEST_BODY_BYTES",
        value_name = "BYTES",
        default_value_t = Size(3 << 20)
    )]
    pub max_request_body_bytes: Size,

    /// Kinds of the program besides custom resources; no flag declares any.
    #[arg(skip)]
    pub built_in: &'static [BuiltIn],
}

impl Kinds {
    /// A digest of the files of `--resources`: if it is the same, [`Kinds::load`] gives the same.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        resources::fingerprint(&self.resources)
    }

    /// Reads and validates all manifests, and logs their warnings.
    ///
    /// # Errors
    /// At the first manifest that cannot be served, with its file and the reason.
    pub fn load(&self) -> Result<Catalog, Error> {
        let Size(body_limit) = self.max_request_body_bytes;
        let mut catalog = Catalog::default();
        if !self.no_default_resources {
            for (name, text) in DEFAULTS {
                for manifest in resources::parse(name, text.as_bytes(), body_limit)? {
                    catalog = add(catalog, &manifest)?;
                }
            }
        }
        for manifest in resources::read_paths(&self.resources, body_limit)? {
            for warning in &manifest.warnings {
                tracing::warn!(warning, "manifest has a warning");
            }
            let id = manifest.resource.id();
            catalog = catalog.without(id.group(), id.resource());
            catalog = add(catalog, &manifest)?;
        }
        if catalog.resources().next().is_none() {
            return Err(Error::NoKinds);
        }
        for resource in resources::compile_built_in(self.built_in)? {
            catalog = catalog.with(resource)?;
        }
        Ok(catalog)
    }
}

fn add(catalog: Catalog, manifest: &Manifest) -> Result<Catalog, Error> {
    Ok(catalog.with(Arc::clone(&manifest.resource))?)
}

#[cfg(test)]
pub(super) fn default_names() -> Vec<&'static str> {
    DEFAULTS.iter().map(|(name, _)| *name).collect()
}
