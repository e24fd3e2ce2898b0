//! Circles of inline modules.

use super::graph::Arrows;
use super::tree::Crate;

fn circles(text: &str) -> Vec<String> {
    let parsed = Crate::parse(text, |path| anyhow::bail!("no file of {}", path.join("::")));
    let circles = Arrows::of(&parsed.expect("Rust")).circles();
    circles.into_iter().map(|circle| circle.text).collect()
}

#[test]
fn imports_in_both_directions_are_a_circle() {
    let found = circles(
        "mod a { pub(super) struct A; use crate::b::B; fn f(_: B) {} }
         mod b { pub(super) struct B; fn f(_: super::a::A) {} }",
    );
    let text = "a → b (a names crate::b::B), b → a (b names super::a::A)";
    assert_eq!(found, [text]);
}

#[test]
fn each_circle_is_reported_once_wherever_it_is() {
    let found = circles(
        "mod x { pub(crate) mod a { pub struct A; use super::b::deep::f; }
                 pub(crate) mod b { pub(crate) mod deep { pub fn f(_: crate::x::c::C) {} } }
                 pub(crate) mod c { pub struct C; use super::a as renamed; type T = renamed::A; } }
         mod y { use crate::x::a::A; }",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("x::a → x::b (x::a names"), "{found:?}");
}

#[test]
fn one_direction_and_arrows_to_the_parent_are_no_circle() {
    for text in [
        "mod a { pub struct A; } mod b { use crate::a::A; } mod c { use crate::{a::A, b}; }",
        // The parent defines the type that its part builds.
        "mod a { pub struct A; mod part { use super::A; pub fn a() -> A { A } } use part::a; }",
        // What another module re-exports is not its own.
        "mod a { pub struct A; use super::b::OfRoot; } struct Root; mod b { pub use super::Root as OfRoot; }",
        // Test modules may import anything.
        "mod a { pub struct A; #[cfg(test)] mod tests { use crate::b::B; } } mod b { pub struct B; use crate::a::A; }",
        // An import has the name of the other crate.
        "mod a { use http::http; fn f(_: http::Uri) {} } mod b { use crate::a::http; }",
        // Comments, strings and other crates.
        "mod a { pub struct A; /* crate::b::B */ const T: &str = \"crate::b\"; use b2::b::B; } mod b { use crate::a::A; }",
    ] {
        assert_eq!(circles(text), [""; 0], "{text}");
    }
}

#[test]
fn reexports_are_followed_to_the_definition() {
    let found = circles(
        "pub use a::A; pub use b::*;
         mod a { pub struct A; fn f() { crate::make(); } }
         mod b { pub fn make() -> crate::A { crate::A } }",
    );
    assert_eq!(found.len(), 1, "{found:?}");
}
