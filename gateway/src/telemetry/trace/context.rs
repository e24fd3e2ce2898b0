//! Trace IDs, as W3C's `traceparent` header has them.

/// A span of this or another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl Context {
    /// Parses a `traceparent` header; `None` if it is invalid.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        let [version] = bytes(version)?;
        // Later versions may have further parts.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, [flags]) = (bytes(trace)?, bytes(span)?, bytes(flags)?);
        let valid = trace != [0; 16] && span != [0; 8];
        valid.then_some(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }

    /// A new trace, which is sampled with this probability.
    pub(super) fn root(samples_per_million: u32) -> Self {
        let trace: [u8; 16] = rand::random();
        let random = u64::from_be_bytes(std::array::from_fn(|at| trace[8 + at]));
        Self {
            trace,
            span: rand::random(),
            sampled: random % 1_000_000 < u64::from(samples_per_million),
        }
    }

    /// A new span of the same trace.
    pub(super) fn child(self) -> Self {
        Self {
            span: rand::random(),
            ..self
        }
    }

    pub(super) const fn is_sampled(self) -> bool {
        self.sampled
    }

    pub(super) const fn trace_id(&self) -> &[u8; 16] {
        &self.trace
    }

    pub(super) const fn span_id(&self) -> &[u8; 8] {
        &self.span
    }

    /// The `traceparent` header.
    #[must_use]
    pub fn to_header(self) -> String {
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", hex(&self.trace), hex(&self.span))
    }
}

/// Lower-case hexadecimal digits of exactly N bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (at, pair) in text.as_bytes().chunks_exact(2).enumerate() {
        bytes[at] = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_parsed_and_printed() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Context::parse(valid).unwrap().to_header(), valid);
        assert!(Context::parse(valid).unwrap().is_sampled());
        assert!(
            !Context::parse(&valid.replace("-01", "-00"))
                .unwrap()
                .is_sampled()
        );
        let later = format!("{}-x", valid.replacen("00", "01", 1));
        assert!(Context::parse(&later).is_some());
        for invalid in [
            "",
            "00",
            &valid.replacen("00", "ff", 1),
            &format!("{valid}-x"),
            &valid.to_uppercase(),
            &valid.replace("00f067aa0ba902b7", "0000000000000000"),
            &valid.replace("4bf9", "4bé9"),
        ] {
            assert_eq!(Context::parse(invalid), None, "{invalid}");
        }
    }
}
