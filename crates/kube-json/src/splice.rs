//! Sets one member in JSON text without parsing all of it.

use crate::members::Members;

/// The object with the member `key` of its member `outer` set to `value`, which is JSON text. A new
/// member is inserted in key order; all other bytes are unchanged. `None` if the text is not an
/// object with an object under `outer`. Keys are compared as written.
///
/// ```
/// let object = br#"{"metadata":{"name":"a","uid":"u"}}"#;
/// let set = kube_json::set_within(object, "metadata", "resourceVersion", "1").unwrap();
/// assert_eq!(set, br#"{"metadata":{"name":"a","resourceVersion":1,"uid":"u"}}"#);
/// ```
#[must_use]
pub fn set_within(object: &[u8], outer: &str, key: &str, value: &str) -> Option<Vec<u8>> {
    let mut members = Members::of(object).enter(outer.as_bytes())?;
    let mut first = true;
    let (replaced, text) = loop {
        let here = members.position();
        match members.next() {
            Some((candidate, _)) if candidate < key.as_bytes() => first = false,
            Some((candidate, old)) if candidate == key.as_bytes() => {
                let end = members.position();
                break (end - old.len()..end, value.to_owned());
            }
            None if !members.is_complete() => return None,
            follower => {
                let text = match (first, follower) {
                    (false, _) => format!(",\"{key}\":{value}"),
                    (true, Some(_)) => format!("\"{key}\":{value},"),
                    (true, None) => format!("\"{key}\":{value}"),
                };
                break (here..here, text);
            }
        }
    };
    let mut spliced = Vec::with_capacity(object.len() + text.len() - replaced.len());
    spliced.extend_from_slice(&object[..replaced.start]);
    spliced.extend_from_slice(text.as_bytes());
    spliced.extend_from_slice(&object[replaced.end..]);
    Some(spliced)
}

#[cfg(test)]
mod tests {
    use super::set_within;

    fn set(object: &str) -> Option<Vec<u8>> {
        set_within(object.as_bytes(), "metadata", "resourceVersion", "\"7\"")
    }

    #[test]
    fn member_is_set_in_key_order() {
        let cases = [
            (
                r#"{"metadata":{}}"#,
                r#"{"metadata":{"resourceVersion":"7"}}"#,
            ),
            (
                r#"{"metadata":{"name":"a"}}"#,
                r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#,
            ),
            (
                r#"{"metadata":{ "uid":"u"}}"#,
                r#"{"metadata":{"resourceVersion":"7", "uid":"u"}}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"name":"a","uid":"u"},"spec":{"metadata":{}}}"#,
                r#"{"kind":"K","metadata":{"name":"a","resourceVersion":"7","uid":"u"},"spec":{"metadata":{}}}"#,
            ),
            (
                r#"{"metadata":{"resourceVersion":"123","uid":"u"}}"#,
                r#"{"metadata":{"resourceVersion":"7","uid":"u"}}"#,
            ),
            (
                r#"{"a":"\"metadata\":{}}","b":[{"metadata":1}],"c":-1e3,"metadata":{"labels":{"uid":"}"}}}"#,
                r#"{"a":"\"metadata\":{}}","b":[{"metadata":1}],"c":-1e3,"metadata":{"labels":{"uid":"}"},"resourceVersion":"7"}}"#,
            ),
            (
                "{ \"metadata\" : { \"name\" : \"a\" } }",
                "{ \"metadata\" : { \"name\" : \"a\",\"resourceVersion\":\"7\" } }",
            ),
        ];
        for (object, expected) in cases {
            let spliced = set(object).expect(object);
            assert_eq!(String::from_utf8(spliced).expect("text"), expected);
        }
    }

    #[test]
    fn text_without_metadata_object_is_rejected() {
        let objects = [
            "",
            "[]",
            "{}",
            r#"{"metadata":1}"#,
            r#"{"metadata":{"a""#,
            r#"{"metadata":{"a\"#,
        ];
        for object in objects {
            assert_eq!(set(object), None, "{object}");
        }
    }
}
