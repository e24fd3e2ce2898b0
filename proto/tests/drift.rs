//! Test that the checked-in code and descriptors match the `.proto`; `UPDATE=1` rewrites them.

use std::path::Path;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Compares a generated file with the checked-in one, or replaces it.
fn compare(checked_in: &Path, fresh: &[u8]) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(checked_in, fresh).expect("rewrite");
    }
    let stored = std::fs::read(checked_in).unwrap_or_default();
    assert!(
        stored == fresh,
        "{} is stale: run `UPDATE=1 cargo test -p backend-proto --test drift`",
        checked_in.display()
    );
}

#[test]
fn generated_files_match_the_proto() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let generated = root.join("src/gen");
    let descriptors =
        protox::compile(["ark/backend/v1/backend.proto"], [root]).expect("the .proto compiles");
    let out = tempfile::tempdir().expect("a temporary directory");
    tonic_prost_build::configure()
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors.clone())
        .expect("code generation");
    let name = "ark.backend.v1.rs";
    let fresh = std::fs::read(out.path().join(name)).expect("generated file");
    compare(&generated.join(name), &fresh);
    compare(
        &generated.join("ark.backend.v1.binpb"),
        &without_comments(descriptors),
    );
}

/// Encodes descriptors without source positions and comments.
fn without_comments(mut descriptors: FileDescriptorSet) -> Vec<u8> {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors.encode_to_vec()
}
