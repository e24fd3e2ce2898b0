//! Setting `metadata.resourceVersion` in the bytes of an object without parsing all of it.

/// The member that is set.
const MEMBER: &[u8] = b"resourceVersion";

/// The object with `metadata.resourceVersion` set to `revision`, in its place in key order; `None`
/// if the bytes hold no JSON object with an object `metadata`. What was stored under a revision is
/// served as exactly these bytes.
#[must_use]
pub fn set_resource_version(object: &[u8], revision: u64) -> Option<Vec<u8>> {
    let metadata = find_metadata(object)?;
    let mut at = metadata;
    let (start, end, text) = loop {
        let Some(member) = next_member(object, &mut at)? else {
            // Behind the last member, if there is one.
            let comma = if previous_byte(object, at)? == b'{' {
                ""
            } else {
                ","
            };
            break (at, at, format!("{comma}\"resourceVersion\":\"{revision}\""));
        };
        let key = &object[member.key.clone()];
        if key == MEMBER {
            break (
                member.value.start,
                member.value.end,
                format!("\"{revision}\""),
            );
        }
        if key > MEMBER {
            let start = member.key.start - 1;
            break (start, start, format!("\"resourceVersion\":\"{revision}\","));
        }
    };
    let mut spliced = Vec::with_capacity(object.len() + text.len() - (end - start));
    spliced.extend_from_slice(&object[..start]);
    spliced.extend_from_slice(text.as_bytes());
    spliced.extend_from_slice(&object[end..]);
    Some(spliced)
}

/// A member of an object: its key without quotes, and its value.
struct Member {
    key: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
}

/// Position just inside the value of the top member `metadata`.
fn find_metadata(object: &[u8]) -> Option<usize> {
    let mut at = skip_space(object, 0);
    if object.get(at) != Some(&b'{') {
        return None;
    }
    at += 1;
    loop {
        let member = next_member(object, &mut at)??;
        if &object[member.key] == b"metadata" {
            let inside = object.get(member.value.start) == Some(&b'{');
            return inside.then_some(member.value.start + 1);
        }
    }
}

/// The next member and the position behind it; `Some(None)` at the closing brace, where `at` then
/// is.
fn next_member(object: &[u8], at: &mut usize) -> Option<Option<Member>> {
    let mut here = skip_space(object, *at);
    if object.get(here) == Some(&b',') {
        here = skip_space(object, here + 1);
    }
    if object.get(here) == Some(&b'}') {
        *at = here;
        return Some(None);
    }
    let key_end = skip_string(object, here)?;
    let colon = skip_space(object, key_end);
    if object.get(colon) != Some(&b':') {
        return None;
    }
    let start = skip_space(object, colon + 1);
    let end = skip_value(object, start)?;
    *at = end;
    Some(Some(Member {
        key: here + 1..key_end - 1,
        value: start..end,
    }))
}

/// Position behind the value that begins here.
fn skip_value(object: &[u8], start: usize) -> Option<usize> {
    match object.get(start)? {
        b'"' => skip_string(object, start),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0usize, start);
            loop {
                match object.get(at)? {
                    b'"' => {
                        at = skip_string(object, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let rest = &object[start..];
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            Some(start + rest.iter().position(ends)?)
        }
    }
}

/// Position behind the string that begins here.
fn skip_string(object: &[u8], start: usize) -> Option<usize> {
    if object.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        match object.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn skip_space(object: &[u8], mut at: usize) -> usize {
    while matches!(object.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The last byte before a position that is not white space.
fn previous_byte(object: &[u8], at: usize) -> Option<u8> {
    let before = object.get(..at)?.iter().rev();
    before
        .copied()
        .find(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::set_resource_version;

    #[test]
    fn the_version_is_set_in_its_place() {
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
                "{ \"metadata\" : { \"name\" : \"a\" ,\"resourceVersion\":\"7\"} }",
            ),
        ];
        for (object, expected) in cases {
            let spliced = set_resource_version(object.as_bytes(), 7).expect(object);
            assert_eq!(String::from_utf8(spliced).expect("text"), expected);
        }
    }

    #[test]
    fn what_is_no_object_with_metadata_is_refused() {
        let objects = [
            "",
            "[]",
            "{}",
            r#"{"metadata":1}"#,
            r#"{"metadata":{"a""#,
            r#"{"metadata":{"a\"#,
        ];
        for object in objects {
            assert_eq!(set_resource_version(object.as_bytes(), 7), None, "{object}");
        }
    }
}
