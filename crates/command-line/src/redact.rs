//! Redaction of passwords in connection strings.

/// Replacement for a password.
const HIDDEN: &str = "***";

/// The text with passwords in connection strings replaced: users pass DSNs to the wrong flag, and
/// drivers may quote them. Replaces too much rather than too little.
#[must_use]
pub fn redacted(text: &str) -> String {
    without_keywords(&without_urls(text))
}

/// `scheme://user:HIDDEN@…`. The password ends at the last `@` of the word, because it may contain
/// one.
fn without_urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, after) = rest.split_at(found + 3);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (word, tail) = after.split_at(end);
        shown.push_str(before);
        match (word.find(':'), word.rfind('@')) {
            (Some(colon), Some(at)) if colon < at => {
                shown.extend([&word[..=colon], HIDDEN, &word[at..]]);
            }
            _ => shown.push_str(word),
        }
        rest = tail;
    }
    shown + rest
}

/// `password=HIDDEN`, alone or in the query of a URL.
fn without_keywords(text: &str) -> String {
    const KEY: &str = "password";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.to_ascii_lowercase().find(KEY) {
        let (before, after) = rest.split_at(found + KEY.len());
        shown.push_str(before);
        rest = after;
        if let Some(value) = after.trim_start().strip_prefix('=') {
            shown.extend(["=", HIDDEN]);
            rest = after_value(value.trim_start());
        }
    }
    shown + rest
}

/// The text after the value of a keyword. A value with spaces is in single quotes, in which a
/// backslash escapes.
fn after_value(text: &str) -> &str {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find(|c: char| c.is_whitespace() || c == '&');
        return &text[end.unwrap_or(text.len())..];
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or("", |end| &quoted[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passwords_are_redacted() {
        for (text, shown) in [
            ("no DSN: at all", "no DSN: at all"),
            ("postgres://u@h:5432/db", "postgres://u@h:5432/db"),
            (
                "https://127.0.0.1:6443/livez",
                "https://127.0.0.1:6443/livez",
            ),
            (
                "of 'postgres://u:s3cret@h:5432/db?sslmode=require' and",
                "of 'postgres://u:***@h:5432/db?sslmode=require' and",
            ),
            ("postgres://:s3cret@h/db", "postgres://:***@h/db"),
            ("postgresql://u:s3@/:cret'@h/db", "postgresql://u:***@h/db"),
            (
                "postgres://h/db?password=s3cret&a=b",
                "postgres://h/db?password=***&a=b",
            ),
            ("x://a:s3cret@b y://c:s3cret@d", "x://a:***@b y://c:***@d"),
            (
                "host=h password=s3cret user=u",
                "host=h password=*** user=u",
            ),
            ("PASSWORD = s3cret", "PASSWORD=***"),
            (r"password='s3 \'cret' user=u", "password=*** user=u"),
            ("password='s3cret", "password=***"),
            (
                "sslpassword=s3cret password=s3cret",
                "sslpassword=*** password=***",
            ),
            ("a wrong password, ä://", "a wrong password, ä://"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
