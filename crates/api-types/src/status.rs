//! `Status`, the response to every request that has no object to return.
//!
//! Source of fields and texts: `k8s.io/apimachinery/pkg/api/errors`.

mod error;
mod invalid;
mod json;
mod protobuf;

pub use error::ApiError;
pub use invalid::MAX_ERROR_BYTES;

/// A Status, field by field as in `meta/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `metadata.continue`: the token that continues an expired list inconsistently; may be empty.
    pub continue_token: String,
    /// Whether the request succeeded.
    pub success: bool,
    /// Human-readable text; may be empty.
    pub message: String,
    /// Machine-readable reason; `None` for unclassified errors.
    pub reason: Option<Reason>,
    /// A reason that is none of Kubernetes', as an admission webhook may state it; may be empty.
    pub other_reason: String,
    /// Details of the reason.
    pub details: Option<Details>,
    /// The HTTP code, 0 if unset.
    pub code: u16,
}

/// Details of a Status' reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The API group.
    pub group: String,
    /// A kind or, just as often, a plural resource name.
    pub kind: String,
    /// The object's uid.
    pub uid: String,
    /// The individual errors.
    pub causes: Vec<Cause>,
    /// Seconds after which to retry; 0 if a retry does not help.
    pub retry_after_seconds: u32,
}

/// One error of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The type of error, such as `FieldValueRequired`; may be empty.
    pub reason: String,
    /// Human-readable text.
    pub message: String,
    /// The field's path; may be empty.
    pub field: String,
}

/// Machine-readable reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub enum Reason {
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

/// All reasons.
const ALL: [Reason; 18] = [
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::Conflict,
    Reason::Gone,
    Reason::Invalid,
    Reason::ServerTimeout,
    Reason::Timeout,
    Reason::TooManyRequests,
    Reason::BadRequest,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::RequestEntityTooLarge,
    Reason::UnsupportedMediaType,
    Reason::InternalError,
    Reason::Expired,
    Reason::ServiceUnavailable,
];

impl Reason {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Invalid => "Invalid",
            Self::ServerTimeout => "ServerTimeout",
            Self::Timeout => "Timeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::BadRequest => "BadRequest",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::InternalError => "InternalError",
            Self::Expired => "Expired",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// The HTTP code of the reason.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::ServerTimeout => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

impl Status {
    /// The reason on the wire; empty if there is none.
    #[must_use]
    pub fn reason_text(&self) -> &str {
        match self.reason {
            Some(reason) => reason.as_str(),
            None => &self.other_reason,
        }
    }
}

impl Reason {
    /// The reason with this name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        // bounded: a fixed list.
        ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

#[cfg(test)]
mod tests;
