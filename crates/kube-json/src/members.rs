//! Iteration over JSON text without building a tree.

/// The members of the object in `text`, in order: each key as written, without quotes, and the text
/// of its value.
///
/// The text must be JSON that this crate wrote or validated before. Malformed text ends the
/// iteration.
///
/// ```
/// let text = br#"{"a":{"b":[1]},"c":"}"}"#;
/// let members: Vec<_> = kube_json::Members::of(text).collect();
/// assert_eq!(members, [(&b"a"[..], &br#"{"b":[1]}"#[..]), (b"c", br#""}""#)]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
}

/// The items of the list in a text, like [`Members`] of an object.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a>(Members<'a>);

impl<'a> Members<'a> {
    /// The members of an object; empty if the text is not an object.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        Self::begin(text, b'{')
    }

    /// The value of a key, which is compared as written.
    #[must_use]
    pub fn find(mut self, key: &[u8]) -> Option<&'a [u8]> {
        self.find_map(|(candidate, value)| (candidate == key).then_some(value))
    }

    /// The members of the object under a key; empty if there is none. Unlike [`find`](Self::find)
    /// it does not scan for the end of the value.
    #[must_use]
    pub fn within(self, key: &[u8]) -> Self {
        self.enter(key).unwrap_or(Self { text: b"", at: 0 })
    }

    /// The members of the object under a key, positioned in the same text; `None` if there is none.
    pub(crate) fn enter(mut self, key: &[u8]) -> Option<Self> {
        while self.key()? != key {
            self.value(self.at)?;
        }
        self.at += 1;
        (self.text.get(self.at - 1) == Some(&b'{')).then_some(self)
    }

    /// Position in the text after the members returned so far.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Whether the iteration reached the end of the object rather than malformed text.
    pub(crate) fn is_complete(&self) -> bool {
        self.text.get(skip_space(self.text, self.at)) == Some(&b'}')
    }

    fn begin(text: &'a [u8], opening: u8) -> Self {
        let start = skip_space(text, 0);
        let at = if text.get(start) == Some(&opening) {
            start + 1
        } else {
            text.len()
        };
        Self { text, at }
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let start = self.start()?;
        let end = skip_string(self.text, start)?;
        let colon = skip_space(self.text, end);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        self.at = skip_space(self.text, colon + 1);
        Some(&self.text[start + 1..end - 1])
    }

    /// Position of the next item, after a comma if there is one.
    fn start(&self) -> Option<usize> {
        let mut at = skip_space(self.text, self.at);
        if self.text.get(at) == Some(&b',') {
            at = skip_space(self.text, at + 1);
        }
        Some(at).filter(|at| !matches!(self.text.get(*at), None | Some(b'}' | b']')))
    }

    fn value(&mut self, start: usize) -> Option<&'a [u8]> {
        let end = skip_value(self.text, start)?;
        self.at = end;
        Some(&self.text[start..end])
    }
}

impl<'a> Items<'a> {
    /// The items of a list; empty if the text is not a list.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        Self(Members::begin(text, b'['))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.key()?;
        let value = self.value(self.at)?;
        Some((key, value))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.start()?;
        self.0.value(start)
    }
}

/// Position after the value that starts at `start`.
fn skip_value(text: &[u8], start: usize) -> Option<usize> {
    match text.get(start)? {
        b'"' => skip_string(text, start),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0usize, start);
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = skip_string(text, at)?;
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
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let rest = &text[start..];
            Some(start + rest.iter().position(ends).unwrap_or(rest.len()))
        }
    }
}

/// Position after the string that starts at `start`.
fn skip_string(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at = next_special(text, at)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Position of the next quote or backslash. Most strings are too short for [`memchr`], which has a
/// start-up cost.
fn next_special(text: &[u8], mut at: usize) -> Option<usize> {
    const WORD: usize = size_of::<u64>();
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    // The lowest set bit is exact; bits above it may be false positives because of the borrow.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    for _ in 0..4 {
        let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<WORD>()) else {
            break;
        };
        let word = u64::from_le_bytes(*word);
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += WORD;
    }
    Some(at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?)
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{Items, Members};

    fn check(text: &str, want: &[(&str, &str)]) {
        let shown = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let members = Members::of(text.as_bytes()).map(|(key, value)| (shown(key), shown(value)));
        let want: Vec<_> = want
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(members.collect::<Vec<_>>(), want, "{text}");
    }

    #[test]
    fn members_are_returned_in_order() {
        check("{}", &[]);
        check("[1]", &[]);
        check("", &[]);
        check(
            r#"{"b":"x\"}\\","a":{"c":["}",{}]},"n":-1e3,"t":true}"#,
            &[
                ("b", r#""x\"}\\""#),
                ("a", r#"{"c":["}",{}]}"#),
                ("n", "-1e3"),
                ("t", "true"),
            ],
        );
        check(
            " { \"a\" : [ ] , \"b\" : null } ",
            &[("a", "[ ]"), ("b", "null")],
        );
    }

    #[test]
    fn strings_of_every_length_are_skipped() {
        for length in 0..80 {
            let text = "é#[]!\u{a2}"
                .chars()
                .cycle()
                .take(length)
                .collect::<String>();
            for tail in ["", r#"\""#, r"\\", r#"\u0022\\\""#] {
                let quoted = format!("\"{text}{tail}{text}\"");
                check(
                    &format!("{{{quoted}:{quoted},\"b\":1}}"),
                    &[(&quoted[1..quoted.len() - 1], quoted.as_str()), ("b", "1")][..],
                );
            }
        }
    }

    #[test]
    fn enter_finds_the_object_under_a_key() {
        let text = br#"{"a":{"c":[1]},"b":{"d":2,"e":{}},"f":3}"#;
        let keys = |key: &[u8]| -> Vec<_> {
            let members = Members::of(text).within(key);
            members
                .map(|(key, _)| String::from_utf8_lossy(key))
                .collect()
        };
        assert_eq!(keys(b"b"), ["d", "e"]);
        assert!(keys(b"c").is_empty());
        assert!(keys(b"f").is_empty());
    }

    #[test]
    fn malformed_text_ends_the_iteration() {
        check(r#"{"a":1,"b"}"#, &[("a", "1")]);
        check(r#"{"a":"x"#, &[]);
        check(r#"{"a":"x\"#, &[]);
        check(r#"{"a":[1,"#, &[]);
        check(r#"{a:1}"#, &[]);
    }

    #[test]
    fn items_are_returned_in_order() {
        let items: Vec<_> = Items::of(br#"[1,{"a":[2]},"x,y",[]]"#).collect();
        let want: [&[u8]; 4] = [b"1", br#"{"a":[2]}"#, br#""x,y""#, b"[]"];
        assert_eq!(items, want);
        assert_eq!(Items::of(b"{}").count(), 0);
    }
}
