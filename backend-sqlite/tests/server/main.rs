//! The program on its socket: what clients see, and what a kill leaves.

mod halfway;
mod kills;
mod moves;
mod program;
mod refusals;
mod space;
mod watches;
