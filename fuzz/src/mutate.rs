//! Inputs made of seeds: bytes are changed, inserted, removed and repeated, words of the formats are
//! inserted, and inputs are joined.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// Bytes that an input may have: small inputs find more per second.
const MAX_BYTES: usize = 4_096;

/// Changes that one input gets at most.
const MAX_CHANGES: usize = 6;

/// Words that mean something in one of the formats.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e999",
    "0.1",
    "9223372036854775808",
    "\0",
    "\n",
    "\n- ",
    "  ",
    "&a",
    "*a",
    "<<: ",
    "!!binary ",
    "|",
    ">-",
    "---\n",
    "%",
    "%00",
    "&",
    "=",
    "?",
    "!=",
    " in (",
    " notin (",
    ")",
    "!",
    "..",
    "[*]",
    "[-1]",
    "[0:2]",
    "@.",
    "?(",
    "$",
    "'",
    "/",
    "~1",
    "~0",
    "/-",
    "add",
    "remove",
    "move",
    "copy",
    "test",
    "\"op\":",
    "\"path\":",
    "\"from\":",
    "\"value\":",
    "resourceVersion",
    "limit=",
    "watch=1",
    "(a*)*",
    "{1,1000}",
    "\\p{L}",
    "\u{fffd}",
    "type: object",
    "items:",
    "properties:",
    "default:",
    "x-kubernetes-preserve-unknown-fields: true",
];

/// A source of inputs that gives the same ones for the same seeds.
#[derive(Debug)]
pub struct Mutator {
    random: StdRng,
    inputs: Vec<Vec<u8>>,
}

impl Mutator {
    /// Begins with these inputs.
    #[must_use]
    pub fn new(seeds: &[&[u8]], seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            inputs: seeds.iter().map(|seed| seed.to_vec()).collect(),
        }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..self.random.random_range(1..=MAX_CHANGES) {
            self.change(&mut input);
            input.truncate(MAX_BYTES);
        }
        // Changes of changes reach further; the seeds are never replaced.
        if self.random.random_ratio(1, 8) && self.inputs.len() < 512 {
            self.inputs.push(input.clone());
        }
        input
    }

    fn any(&mut self) -> &[u8] {
        let at = self.random.random_range(0..self.inputs.len().max(1));
        self.inputs.get(at).map_or(&[], Vec::as_slice)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        let end = self.random.random_range(at..=input.len().min(at + 64));
        match self.random.random_range(0..7) {
            0 => {
                let byte: u8 = self.random.random();
                input.insert(at, byte);
            }
            1 => drop(input.drain(at..end)),
            2 if at < input.len() => input[at] ^= 1 << self.random.random_range(0..8),
            3 => {
                let part = input[at..end].to_vec();
                let times = self.random.random_range(1..40);
                input.splice(at..at, part.repeat(times));
            }
            4 => {
                let other = self.any().to_vec();
                let from = self.random.random_range(0..=other.len());
                input.splice(at..end, other[from..].iter().copied());
            }
            _ => {
                let word = WORDS.choose(&mut self.random).map_or("", |word| *word);
                input.splice(at..at, word.bytes());
            }
        }
    }
}
