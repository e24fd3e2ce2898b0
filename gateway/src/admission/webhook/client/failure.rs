//! Why a call of a webhook failed, in the words of Go's HTTP client and of client-go, because clients
//! see them.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

/// A call without a usable response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admission::webhook) enum CallFailure {
    /// The time of the call is over.
    DeadlineExceeded,
    /// No response.
    Transport(String),
    /// The response was not read completely.
    Body(String),
    /// The response has a code of failure.
    Code {
        /// HTTP code.
        code: u16,
        /// The text for it.
        text: String,
    },
    /// The response is not a review.
    Answer(String),
}

impl CallFailure {
    /// The failure of a request to this URL: Go's `url.Error`.
    pub(super) fn at(self, url: &str) -> Self {
        match self {
            Self::DeadlineExceeded => {
                Self::Transport(format!("Post {url:?}: context deadline exceeded"))
            }
            Self::Transport(text) => Self::Transport(format!("Post {url:?}: {text}")),
            Self::Body(text) => Self::Body(format!(
                "unexpected error when reading response body. Please retry. Original error: {text}"
            )),
            other => other,
        }
    }

    /// The text after `failed to call webhook: `.
    pub(in crate::admission::webhook) fn text(&self) -> &str {
        match self {
            Self::DeadlineExceeded => "context deadline exceeded",
            Self::Transport(text)
            | Self::Body(text)
            | Self::Answer(text)
            | Self::Code { text, .. } => text,
        }
    }

    /// The code for metrics: that of the response, or 503.
    pub(in crate::admission::webhook) const fn code(&self) -> u16 {
        match self {
            Self::Code { code, .. } => *code,
            _ => 503,
        }
    }

    /// A broken exchange.
    pub(super) fn of_http(error: &hyper::Error) -> Self {
        Self::Transport(Self::http_text(error))
    }

    /// The text for a broken exchange.
    pub(super) fn http_text(error: &hyper::Error) -> String {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return io_text(error);
            }
            source = cause.source();
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return "EOF".to_owned();
        }
        error.to_string()
    }

    /// `NewGenericServerResponse` of `k8s.io/apimachinery/pkg/api/errors`.
    pub(super) fn of_code(code: u16, message: String) -> Self {
        let fixed = match code {
            409 => "the server reported a conflict",
            404 => "the server could not find the requested resource",
            400 => "the server rejected our request for an unknown reason",
            401 => "the server has asked for the client to provide credentials",
            406 if message.is_empty() || message == "unknown" => {
                "the server was unable to respond with a content type that the client supports"
            }
            405 => "the server does not allow this method on the requested resource",
            422 => "the server rejected our request due to an error in our request",
            503 => "the server is currently unable to handle the request",
            504 => {
                "the server was unable to return a response in the time allotted, but may still be \
                 processing the request"
            }
            429 => "the server has received too many requests and has asked us to try again later",
            _ => "",
        };
        let text = match code {
            403 | 406 | 415 if fixed.is_empty() => message,
            500.. if fixed.is_empty() => format!(
                "an error on the server ({message:?}) has prevented the request from succeeding"
            ),
            _ if fixed.is_empty() => format!(
                "the server responded with the status code {code} but did not return more \
                 information"
            ),
            _ => fixed.to_owned(),
        };
        Self::Code { code, text }
    }
}

/// Go's text for an error of a socket or of TLS.
pub(super) fn io_text(error: &io::Error) -> String {
    let inner = error.get_ref();
    if let Some(tls) = inner.and_then(|it| it.downcast_ref::<rustls::Error>()) {
        return tls_text(tls);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        io::ErrorKind::BrokenPipe => "write: broken pipe".to_owned(),
        _ => system_text(error),
    }
}

/// The system's text, as Go writes it.
pub(super) fn system_text(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

fn tls_text(error: &rustls::Error) -> String {
    let unverified = |text: String| format!("tls: failed to verify certificate: x509: {text}");
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // The latter is an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                unverified("certificate signed by unknown authority".to_owned())
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => {
                let wanted = expected.to_str();
                if presented.is_empty() {
                    return unverified(format!(
                        "certificate is not valid for any names, but wanted to match {wanted}"
                    ));
                }
                let names: Vec<String> = presented.iter().map(|it| presented_name(it)).collect();
                unverified(format!(
                    "certificate is valid for {}, not {wanted}",
                    names.join(", ")
                ))
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                unverified("certificate has expired or is not yet valid".to_owned())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                unverified("certificate has expired or is not yet valid".to_owned())
            }
            CertificateError::InvalidPurpose => {
                unverified("certificate specifies an incompatible key usage".to_owned())
            }
            CertificateError::Other(other) => unverified(other.0.to_string()),
            other => unverified(other.to_string()),
        },
        rustls::Error::InvalidMessage(_) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        other => format!("tls: {other}"),
    }
}

/// The name in `DnsName("name")` and `IpAddress(1.2.3.4)`, as rustls describes names.
fn presented_name(described: &str) -> String {
    let inner = described.split_once('(').map_or(described, |(_, it)| it);
    inner.trim_end_matches(')').trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, message: &str, expected: &str) {
        let failure = CallFailure::of_code(code, message.to_owned());
        assert_eq!((failure.code(), failure.text()), (code, expected));
    }

    #[test]
    fn codes_have_the_texts_of_client_go() {
        check(404, "x", "the server could not find the requested resource");
        check(
            302,
            "",
            "the server responded with the status code 302 but did not return more information",
        );
        check(
            500,
            "bang",
            "an error on the server (\"bang\") has prevented the request from succeeding",
        );
        check(403, "keep out", "keep out");
        check(
            418,
            "",
            "the server responded with the status code 418 but did not return more information",
        );
    }

    #[test]
    fn failures_name_the_url() {
        let failure = CallFailure::DeadlineExceeded.at("https://x/?timeout=1s");
        assert_eq!(
            failure.text(),
            "Post \"https://x/?timeout=1s\": context deadline exceeded"
        );
        assert_eq!(presented_name("DnsName(\"a.b\")"), "a.b");
        assert_eq!(presented_name("IpAddress(127.0.0.1)"), "127.0.0.1");
    }
}
