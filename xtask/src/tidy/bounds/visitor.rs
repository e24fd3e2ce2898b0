//! Finds calls without a bound in the syntax tree of one file.

use std::collections::BTreeSet;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::Place;

/// Searches whose cost is linear in the length of the list.
const SEARCHES: &[&str] = &["contains", "position", "any", "find"];
/// Iterator and list methods whose closure runs for every item.
const LOOPS: &[&str] = &[
    "all",
    "any",
    "filter",
    "filter_map",
    "find",
    "find_map",
    "flat_map",
    "for_each",
    "map",
    "position",
    "retain",
    "try_for_each",
];
/// Types whose `contains` is not a linear search.
const SETS: &[&str] = &["HashSet", "BTreeSet", "HashMap", "BTreeMap"];

/// Searches in loops, operations at index 0, and recursion, tests excluded.
pub(super) fn places(file: &syn::File) -> Vec<Place> {
    let mut visitor = BoundVisitor::default();
    visitor.visit_file(file);
    visitor.places
}

#[derive(Default)]
struct BoundVisitor {
    places: Vec<Place>,
    /// Number of enclosing loops, closures of iterators included.
    loops: usize,
    /// Names in this function that are sets.
    sets: BTreeSet<String>,
    /// The enclosing function, and whether it is a method.
    function: Option<(String, bool)>,
    recursive: bool,
}

impl BoundVisitor {
    fn found(&mut self, span: proc_macro2::Span, text: String) {
        let line = span.start().line;
        let function = self.function.as_ref();
        let function = function.map_or_else(String::new, |(name, _)| name.clone());
        self.places.push(Place {
            line,
            function,
            text,
        });
    }

    fn enter(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let method = signature.receiver().is_some();
        let outer = Self {
            places: std::mem::take(&mut self.places),
            function: Some((signature.ident.to_string(), method)),
            ..Self::default()
        };
        let outer = std::mem::replace(self, outer);
        for input in &signature.inputs {
            if let syn::FnArg::Typed(input) = input {
                let mut named = NamesSet::default();
                named.visit_type(&input.ty);
                if named.0 {
                    self.remember(&input.pat);
                }
            }
        }
        self.visit_block(block);
        let recursive = self.recursive;
        if recursive {
            let name = &signature.ident;
            self.found(
                signature.fn_token.span(),
                format!(
                    "fn {name} calls itself: state the bound of the depth (`// bounded: …`), or use \
                     an explicit stack"
                ),
            );
        }
        let places = std::mem::take(&mut self.places);
        *self = Self { places, ..outer };
    }

    fn remember(&mut self, pattern: &syn::Pat) {
        match pattern {
            syn::Pat::Ident(name) => {
                self.sets.insert(name.ident.to_string());
            }
            syn::Pat::Type(typed) => self.remember(&typed.pat),
            _ => {}
        }
    }

    /// Whether the cost of searching this does not grow with input.
    fn is_cheap(&self, list: &syn::Expr) -> bool {
        match list {
            syn::Expr::Path(path) => path.path.segments.last().is_some_and(|last| {
                let name = last.ident.to_string();
                // A constant has a fixed length; its name is in upper case.
                name.to_uppercase() == name || self.sets.contains(&name)
            }),
            syn::Expr::Paren(inner) => self.is_cheap(&inner.expr),
            syn::Expr::Reference(inner) => self.is_cheap(&inner.expr),
            syn::Expr::Range(_) | syn::Expr::Array(_) | syn::Expr::Lit(_) => true,
            syn::Expr::MethodCall(call) if call.method == "iter" => self.is_cheap(&call.receiver),
            _ => false,
        }
    }

    fn search(&mut self, call: &syn::ExprMethodCall) {
        let method = call.method.to_string();
        if self.loops == 0 || !SEARCHES.contains(&method.as_str()) {
            return;
        }
        // Iterator methods count only over a whole list: `list.iter().any(…)`.
        let list = match (&method[..], &*call.receiver) {
            ("contains", list) => list,
            (_, syn::Expr::MethodCall(inner)) if inner.method == "iter" => &inner.receiver,
            _ => return,
        };
        // Searches of text and ranges take a short needle.
        let text = call.args.first().is_some_and(|argument| {
            matches!(
                argument,
                syn::Expr::Lit(_) | syn::Expr::Array(_) | syn::Expr::Closure(_)
            )
        });
        if self.is_cheap(list) || (method == "contains" && text) {
            return;
        }
        self.found(
            call.method.span(),
            format!(
                "`.{method}(…)` searches a list inside a loop: use a set, or state the bound of the list \
                 (`// bounded: …`)"
            ),
        );
    }

    fn shift(&mut self, call: &syn::ExprMethodCall) {
        let method = call.method.to_string();
        let arguments = match method.as_str() {
            "insert" => 2,
            "remove" => 1,
            _ => return,
        };
        let zero = call.args.first().is_some_and(|argument| {
            matches!(argument, syn::Expr::Lit(literal)
                if matches!(&literal.lit, syn::Lit::Int(int) if int.base10_digits() == "0"))
        });
        if zero && call.args.len() == arguments {
            self.found(
                call.method.span(),
                format!("`.{method}(0…)` moves the whole list: use a VecDeque, or state the bound"),
            );
        }
    }

    fn in_loop(&mut self, visit: impl FnOnce(&mut Self)) {
        self.loops += 1;
        visit(self);
        self.loops -= 1;
    }
}

/// Whether a set is among the types and calls that a tree names.
#[derive(Default)]
struct NamesSet(bool);

impl<'ast> Visit<'ast> for NamesSet {
    fn visit_ident(&mut self, name: &'ast proc_macro2::Ident) {
        self.0 |= SETS.iter().any(|set| name == set);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test")))
    })
}

impl<'ast> Visit<'ast> for BoundVisitor {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.enter(&item.sig, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.enter(&item.sig, &item.block);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let mut named = NamesSet::default();
        named.visit_local(local);
        if named.0 {
            self.remember(&local.pat);
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_for_loop(&mut self, expression: &'ast syn::ExprForLoop) {
        self.visit_expr(&expression.expr);
        self.in_loop(|visitor| visitor.visit_block(&expression.body));
    }

    fn visit_expr_while(&mut self, expression: &'ast syn::ExprWhile) {
        self.in_loop(|visitor| visit::visit_expr_while(visitor, expression));
    }

    fn visit_expr_loop(&mut self, expression: &'ast syn::ExprLoop) {
        self.in_loop(|visitor| visit::visit_expr_loop(visitor, expression));
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let (syn::Expr::Path(path), Some((name, method))) = (&*call.func, &self.function) {
            let segments: Vec<String> = path
                .path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect();
            let itself = match segments.as_slice() {
                [one] => one == name && !method,
                // `Self::from` usually is the conversion of another type.
                [first, last] => first == "Self" && last == name && name != "from",
                _ => false,
            };
            self.recursive |= itself;
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.search(call);
        self.shift(call);
        if let (Some((name, true)), syn::Expr::Path(receiver)) = (&self.function, &*call.receiver) {
            // Only calls on `self`: a field's method of the same name is usually another one.
            self.recursive |= call.method == name && receiver.path.is_ident("self");
        }
        self.visit_expr(&call.receiver);
        let closure = LOOPS.contains(&call.method.to_string().as_str());
        for argument in &call.args {
            match argument {
                syn::Expr::Closure(_) if closure => {
                    self.in_loop(|visitor| visitor.visit_expr(argument))
                }
                _ => self.visit_expr(argument),
            }
        }
    }
}
