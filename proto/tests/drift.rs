//! Test that the checked-in code matches the `.proto`; `UPDATE=1` rewrites it.

use std::path::Path;

#[test]
fn generated_code_matches_the_proto() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors =
        protox::compile(["ark/backend/v1/backend.proto"], [root]).expect("the .proto compiles");
    let out = tempfile::tempdir().expect("a temporary directory");
    tonic_prost_build::configure()
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("code generation");
    let name = "ark.backend.v1.rs";
    let fresh = std::fs::read_to_string(out.path().join(name)).expect("generated file");
    let checked_in = root.join("src/gen").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(root.join("src/gen")).expect("src/gen");
        std::fs::write(&checked_in, &fresh).expect("rewrite");
    }
    let stored = std::fs::read_to_string(&checked_in).unwrap_or_default();
    assert!(
        stored == fresh,
        "{} is stale: run `UPDATE=1 cargo test -p backend-proto --test drift`",
        checked_in.display()
    );
}
