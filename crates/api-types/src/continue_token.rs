//! The opaque `continue` token of a page, which marks the start of the next page.

use base64::DecodeError;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use kube_json::ObjectWriter;

use crate::revision::Revision;
use crate::status::ApiError;

const VERSION: &str = "meta.k8s.io/v1";

/// URL-safe alphabet without padding; accepts non-zero trailing bits, as Go does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The content of a `continue` token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The revision of the list's first page. `None` continues at the latest revision, and the list
    /// is then not consistent.
    pub revision: Option<Revision>,
    /// The least key of the next page, `<namespace>/<name>` or `<name>`, relative to the listed
    /// collection.
    pub start: String,
}

impl ContinueToken {
    /// The token that continues after a key.
    #[must_use]
    pub fn after(revision: Option<Revision>, key: &str) -> Self {
        Self {
            revision,
            start: format!("{key}\0"),
        }
    }

    /// The last key of the page before.
    ///
    /// # Errors
    ///
    /// The start key, which the next page then includes, if the token was not made by
    /// [`Self::after`].
    pub fn last_key(&self) -> Result<&str, &str> {
        self.start.strip_suffix('\0').ok_or(&self.start)
    }

    /// The value of `metadata.continue`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut json = Vec::with_capacity(64 + self.start.len());
        let mut object = ObjectWriter::begin(&mut json);
        object.string("v", VERSION);
        let revision = self.revision.and_then(|one| i64::try_from(one.get()).ok());
        object.integer("rv", revision.unwrap_or(-1));
        object.string("start", &format!("/{}", self.start));
        object.end();
        BASE64.encode(json)
    }

    /// Parses a `continue` parameter.
    ///
    /// # Errors
    ///
    /// 400 with kube-apiserver's message if the text is not a token, or points outside of the list.
    pub fn decode(text: &str) -> Result<Self, ApiError> {
        Self::read(text).map_err(|why| {
            let head = "invalid continue token: continue key is not valid: ";
            ApiError::bad_request(format!("{head}{why}"))
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        let json = BASE64.decode(text).map_err(|error| {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(length) => length.saturating_sub(1),
                DecodeError::InvalidPadding => text.find('=').unwrap_or(text.len()),
            };
            format!("illegal base64 data at input byte {at}")
        })?;
        let token = kube_json::parse(&json)
            .map_err(|error| error.to_string())?
            .value;
        let text = |key| {
            token
                .get(key)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        let version = text("v");
        if version != VERSION {
            return Err(format!(
                "server does not recognize this encoded version {version}"
            ));
        }
        let revision = token
            .get("rv")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or(0);
        if revision == 0 {
            return Err(format!(
                "incorrect encoded start resourceVersion (version {VERSION})"
            ));
        }
        let start = text("start");
        if start.is_empty() {
            return Err(format!("encoded start key empty (version {VERSION})"));
        }
        let relative = start.strip_prefix('/').unwrap_or(start);
        let clean = |segment: &str| !matches!(segment, "" | "." | "..");
        if !relative.is_empty() && !relative.split('/').all(clean) {
            return Err(start.to_owned());
        }
        Ok(Self {
            revision: u64::try_from(revision).ok().and_then(Revision::new),
            start: relative.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::{BASE64, ContinueToken};
    use crate::revision::Revision;

    #[test]
    fn encoded_token_decodes_to_itself() {
        for (revision, key) in [(Revision::new(7), "default/l1"), (None, "l1")] {
            let token = ContinueToken::after(revision, key);
            let read = ContinueToken::decode(&token.encode()).expect("own token");
            assert_eq!(read, token);
            assert_eq!(read.last_key(), Ok(key));
        }
        let token = ContinueToken::after(Revision::new(7), "l1").encode();
        let json = BASE64.decode(token).expect("base64");
        assert_eq!(
            String::from_utf8_lossy(&json),
            r#"{"v":"meta.k8s.io/v1","rv":7,"start":"/l1\u0000"}"#
        );
    }

    #[test]
    fn token_key_may_lack_the_leading_slash() {
        let text = BASE64.encode(r#"{"v":"meta.k8s.io/v1","rv":7,"start":"l1\u0000"}"#);
        assert_eq!(
            ContinueToken::decode(&text).expect("a token"),
            ContinueToken::after(Revision::new(7), "l1")
        );
    }

    #[test]
    fn malformed_token_is_rejected() {
        let v1 = |rest: &str| format!(r#"{{"v":"meta.k8s.io/v1",{rest}}}"#);
        for (json, want) in [
            (
                v1(r#""rv":0,"start":"a""#),
                "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (
                v1(r#""rv":1,"start":"""#),
                "encoded start key empty (version meta.k8s.io/v1)",
            ),
            (v1(r#""rv":1,"start":"../a""#), "../a"),
            (v1(r#""rv":1,"start":"/a//b""#), "/a//b"),
            (v1(r#""rv":1,"start":"a/""#), "a/"),
            (
                r#"{"v":"x"}"#.to_owned(),
                "server does not recognize this encoded version x",
            ),
            (
                "i".to_owned(),
                "invalid character 'i' looking for beginning of value",
            ),
        ] {
            let error = ContinueToken::decode(&BASE64.encode(&json)).expect_err(&json);
            assert_eq!(
                error.to_string(),
                format!("invalid continue token: continue key is not valid: {want}")
            );
            assert_eq!(error.code(), 400);
        }
        let error = ContinueToken::decode("ab!d").expect_err("no base64");
        assert!(
            error
                .to_string()
                .ends_with("illegal base64 data at input byte 2")
        );
    }
}
