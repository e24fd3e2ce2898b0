//! Generated names.

use rand::Rng as _;

/// Attempts to generate a free name: kube-apiserver's `maxNameGenerationCreateAttempts`.
pub(crate) const ATTEMPTS: usize = 8;

/// Longest generated name, bytes.
const MAX_NAME: usize = 63;
/// Random characters at the end of a name.
const RANDOM: usize = 5;
/// kube-apiserver's alphabet: no vowels, so that no words result, and no characters that look
/// alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name that starts with `base`, cut to 58 bytes.
pub(crate) fn generate(base: &str) -> String {
    let mut end = base.len().min(MAX_NAME - RANDOM);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    let mut random = rand::rng();
    for _ in 0..RANDOM {
        name.push(char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    }
    name
}
