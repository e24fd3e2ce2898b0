//! `Status`, the answer to whatever has no object to answer with.
//!
//! Source of shapes and texts: `k8s.io/apimachinery/pkg/api/errors`.

mod error;
mod invalid;
mod json;
mod protobuf;

pub use error::ApiError;
pub use invalid::MAX_ERROR_BYTES;

/// A Status, field by field as in `meta/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `metadata.continue`: where a list that expired can go on inconsistently; may be empty.
    pub continue_token: String,
    /// Whether the request succeeded.
    pub success: bool,
    /// For people; may be empty.
    pub message: String,
    /// For programs; none for errors nobody classified.
    pub reason: Option<Reason>,
    /// More about the reason.
    pub details: Option<Details>,
    /// The HTTP code, 0 if unset.
    pub code: u16,
}

/// More about a Status' reason.
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
    /// The single problems.
    pub causes: Vec<Cause>,
    /// After how many seconds to try again; 0 if trying again is no cure.
    pub retry_after_seconds: u32,
}

/// One problem of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The sort of problem, such as `FieldValueRequired`; may be empty.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field's path; may be empty.
    pub field: String,
}

/// Why a request failed, for programs.
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

    /// The HTTP code that goes with the reason.
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

#[cfg(test)]
mod tests;
