//! Bytes of a request into an object, and objects into the bytes of an answer.

pub(crate) mod decode;
