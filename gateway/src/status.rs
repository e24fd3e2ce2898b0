//! The only mapping from internal errors to HTTP status codes and `Status` bodies.

use std::time::Duration;

use api_types::status::{ApiError, Details, Reason};

use crate::store::{DecodeError, StoreError};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Compacted { .. } => Self::expired(text),
            StoreError::FutureRevision {
                requested,
                current,
                start_of_watch: true,
            } => Self::expired(format!(
                "The resourceVersion for the provided watch is too large: {requested}, this store \
                 is at {current}"
            )),
            StoreError::FutureRevision {
                requested, current, ..
            } => Self::too_large_resource_version(requested.get(), current.get(), 1),
            StoreError::EpochChanged => Self::expired("The resourceVersion is too old."),
            StoreError::Unavailable { retry_after, .. } => {
                retry(Reason::ServiceUnavailable, text, retry_after)
            }
            StoreError::Overloaded { retry_after } | StoreError::Initializing { retry_after } => {
                retry(Reason::TooManyRequests, text, retry_after)
            }
            // 507 Insufficient Storage has no Kubernetes reason.
            StoreError::NoSpace { retry_after, .. } => {
                let error = Self::unclassified(507, text);
                error
                    .with_details(Details::default())
                    .with_retry_after(seconds(retry_after))
            }
            StoreError::TooLarge { message } => Self::too_large(message),
            StoreError::Timeout => Self::timeout(text, 1),
            // As timeouts of kube-apiserver. A client that retries may find its own change.
            StoreError::OutcomeUnknown { .. } => Self::timeout(text, 1),
            StoreError::Corrupt { .. } | StoreError::Internal { .. } => {
                tracing::error!(%text, "store request failed");
                Self::internal(text)
            }
            // The cause was logged when the object was loaded.
            StoreError::Unreadable { .. } => Self::internal(text),
            StoreError::UnknownResource(_) => Self::new(Reason::NotFound, text),
        }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self::internal(error)
    }
}

fn retry(reason: Reason, text: String, after: Duration) -> ApiError {
    ApiError::new(reason, text)
        .with_details(Details::default())
        .with_retry_after(seconds(after))
}

fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1)
}
