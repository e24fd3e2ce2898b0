//! `ark-apiserver standalone` as its user meets it: the real programs, started, asked, killed.

mod client;
mod faults;
mod program;
mod refusals;
mod reload;
mod serving;
