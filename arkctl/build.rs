//! Commit and date of the build.

fn main() {
    build_info::emit();
}
