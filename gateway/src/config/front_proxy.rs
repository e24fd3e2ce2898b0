//! Flags of front proxies.

use std::path::PathBuf;

use http::HeaderName;

use super::Error;
use crate::auth::RequestHeaders;

/// Authorities, names and identity headers of front proxies.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Front proxy")]
pub struct FrontProxy {
    /// Authorities whose certificates identify front proxies, PEM.
    #[arg(long, env = "ARK_REQUESTHEADER_CLIENT_CA_FILE", value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,

    /// Common names that a front proxy's certificate may have; any if none is given.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_ALLOWED_NAMES",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub requestheader_allowed_names: Vec<String>,

    /// Headers with the user name; the first that is set counts.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_USERNAME_HEADERS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "X-Remote-User"
    )]
    pub requestheader_username_headers: Vec<String>,

    /// Headers with the user's UID; none by default, because front proxies before Kubernetes 1.32
    /// pass on this header from their clients.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_UID_HEADERS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub requestheader_uid_headers: Vec<String>,

    /// Headers with the user's groups.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_GROUP_HEADERS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "X-Remote-Group"
    )]
    pub requestheader_group_headers: Vec<String>,

    /// Prefixes of headers with further attributes of the user.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_EXTRA_HEADERS_PREFIX",
        value_name = "PREFIXES",
        value_delimiter = ',',
        default_value = "X-Remote-Extra-"
    )]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

impl FrontProxy {
    pub(super) fn headers(&self) -> Result<RequestHeaders, Error> {
        let username = &self.requestheader_username_headers;
        let uid = &self.requestheader_uid_headers;
        let group = &self.requestheader_group_headers;
        let prefixes = self.requestheader_extra_headers_prefix.iter();
        Ok(RequestHeaders {
            allowed_names: self.requestheader_allowed_names.clone(),
            username: names("requestheader-username-headers", username)?,
            uid: names("requestheader-uid-headers", uid)?,
            group: names("requestheader-group-headers", group)?,
            extra_prefix: prefixes.map(|it| it.to_ascii_lowercase()).collect(),
        })
    }
}

fn names(flag: &'static str, names: &[String]) -> Result<Vec<HeaderName>, Error> {
    let parsed = names.iter().map(|name| {
        HeaderName::try_from(name.as_str()).map_err(|_| Error::HeaderName {
            flag,
            name: name.clone(),
        })
    });
    parsed.collect()
}
