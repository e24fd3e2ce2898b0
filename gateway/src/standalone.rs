//! A server for one machine: no cluster, no setup, the same code path behind it.

pub mod kubeconfig;
pub mod pki;
mod private_file;
