//! Names made by the server.

use rand::Rng as _;

/// How often a name is made anew because the one before was taken.
pub(crate) const ATTEMPTS: usize = 8;

/// Bytes of the longest name that is made.
const MAX_NAME: usize = 63;
/// Random characters at the end of a name.
const RANDOM: usize = 5;
/// No vowels, so that no words come out, and nothing that looks like something else.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name that begins with `base`, cut to 58 bytes.
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
