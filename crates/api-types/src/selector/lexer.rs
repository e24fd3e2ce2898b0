//! Splits a label selector into tokens, with the deviations of Kubernetes' lexer.

/// Types of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Symbols that are not an operator.
    Error,
    /// End of input.
    End,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `!`.
    Not,
    /// `==`.
    DoubleEquals,
    /// `=`.
    Equals,
    /// `>`.
    Greater,
    /// A key or a value.
    Identifier,
    /// `in`.
    In,
    /// `<`.
    Less,
    /// `!=`.
    NotEquals,
    /// `notin`.
    NotIn,
    /// `(`.
    Open,
}

/// A token and its text.
pub(super) type Item = (Token, String);

/// All tokens of a selector; the last is [`Token::End`].
pub(super) fn scan(text: &str) -> Vec<Item> {
    let mut rest = text;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches(is_space);
        match rest.chars().next() {
            None | Some('\0') => {
                items.push((Token::End, String::new()));
                return items;
            }
            Some(c) if is_symbol(c) => {
                let (item, length) = symbol(rest);
                items.push(item);
                rest = &rest[length..];
            }
            Some(_) => {
                let end = rest
                    .find(|c| is_symbol(c) || is_space(c) || c == '\0')
                    .unwrap_or(rest.len());
                let word = &rest[..end];
                let token = match word {
                    "in" => Token::In,
                    "notin" => Token::NotIn,
                    _ => Token::Identifier,
                };
                items.push((token, word.to_owned()));
                rest = &rest[end..];
                // As in Go, a zero byte ends a word and is consumed with it.
                rest = rest.strip_prefix('\0').unwrap_or(rest);
            }
        }
    }
}

/// The longest operator at the start, and its length.
fn symbol(text: &str) -> (Item, usize) {
    for (operator, token) in [
        ("!=", Token::NotEquals),
        ("==", Token::DoubleEquals),
        ("=", Token::Equals),
        ("!", Token::Not),
        (">", Token::Greater),
        ("<", Token::Less),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ] {
        if text.starts_with(operator) {
            return ((token, operator.to_owned()), operator.len());
        }
    }
    let error = format!("error expected: keyword found '{text}'");
    ((Token::Error, error), text.len())
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

const fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}
