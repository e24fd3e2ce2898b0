//! JSON on one line.

/// Copies JSON without the space between its tokens, so that an event is one line.
pub(super) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    out.reserve(json.len());
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if byte.is_ascii_whitespace() {
            continue;
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn compact_json_keeps_strings() {
        let mut out = Vec::new();
        compact(
            b"{ \"a b\" : \"c \\\" d\",\n\t\"e\\\\\": [1, 2] }",
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a b":"c \" d","e\\":[1,2]}"#
        );
    }
}
