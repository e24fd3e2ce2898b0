//! Bearer tokens, which kube-apiserver reviews.
//!
//! Sources: `k8s.io/apiserver/pkg/authentication/request/bearertoken` and
//! `k8s.io/apiserver/pkg/authentication/token/cache`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Error;
use super::authenticator::{Authenticator, Credentials};
use crate::kube::reviews::{TokenReviews, TokenStatus};
use crate::kube::{Answers, CacheMetrics};
use crate::request::User;
use crate::request::user::Method;
use crate::telemetry::Metrics;

/// Reviewed tokens that are cached. kube-apiserver keeps 32 Ki, for the tokens of all components;
/// most clients of an aggregated server come through the front proxy.
const CACHED_TOKENS: usize = 8_192;

/// Users identified by a TokenReview.
#[derive(Debug)]
pub struct BearerToken {
    reviews: TokenReviews,
    answers: Arc<Answers<TokenStatus>>,
    cached_for: Duration,
}

impl BearerToken {
    /// Caches the status of a token for a time; zero does not cache.
    pub fn new(reviews: TokenReviews, cached_for: Duration, metrics: &Metrics) -> Self {
        let cache = CacheMetrics::new(metrics, "authentication_token_cache");
        Self {
            reviews,
            answers: Answers::new(CACHED_TOKENS, Some(cache)),
            cached_for,
        }
    }

    async fn review(&self, token: &str) -> Result<Arc<User>, Error> {
        let (reviews, owned) = (self.reviews.clone(), token.to_owned());
        let ask = || async move { reviews.review(&owned).await };
        let cached_for = self.cached_for;
        // A rejection with a text is an error, and errors are not cached (`cacheErrs`).
        let lifetime = move |status: &TokenStatus| {
            let is_error = status.user.is_none() && !status.error.is_empty();
            (!is_error).then_some(cached_for)
        };
        let status = self.answers.answer(token.as_bytes(), lifetime, ask).await?;
        match status.user {
            Some(user) => Ok(user),
            None if status.error.is_empty() => {
                Err(Error::InvalidToken("invalid bearer token".to_owned()))
            }
            None => Err(Error::InvalidToken(status.error)),
        }
    }
}

#[async_trait]
impl Authenticator for BearerToken {
    async fn authenticate(
        &self,
        credentials: &mut Credentials<'_>,
    ) -> Result<Option<Arc<User>>, Error> {
        let Some(token) = token(credentials.headers) else {
            return Ok(None);
        };
        let user = self.review(token).await?;
        credentials.headers.remove(AUTHORIZATION);
        let mut user = Arc::unwrap_or_clone(user);
        user.method = Method::BearerToken;
        Ok(Some(Arc::new(user)))
    }
}

/// The token of the first `Authorization` header; `None` if it has another scheme or is empty.
fn token(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let mut parts = header.splitn(3, ' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_second_word_of_bearer_header() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("  bEARER abc  ", Some("abc")),
            ("Bearer abc def", Some("abc")),
            ("Bearer  abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic abc", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().unwrap());
            assert_eq!(token(&headers), expected, "{header:?}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
