//! `spec.names`.

use api_types::field::{Error, Path};
use api_types::names::dns1035_label;
use serde_json::{Map, Value};

use super::Names;
use super::fields::{list, text};

pub(super) fn read(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<Error>) -> Names {
    let kind = text(map, "kind", path, errors).to_owned();
    let or = |text: &str, default: String| match text {
        "" => default,
        text => text.to_owned(),
    };
    let singular = text(map, "singular", path, errors);
    let list_kind = text(map, "listKind", path, errors);
    let names = Names {
        plural: text(map, "plural", path, errors).to_owned(),
        singular: or(singular, kind.to_lowercase()),
        list_kind: or(
            list_kind,
            if kind.is_empty() {
                String::new()
            } else {
                format!("{kind}List")
            },
        ),
        kind,
        short_names: labels(map, "shortNames", path, errors),
        categories: labels(map, "categories", path, errors),
    };
    check(&names, path, errors);
    names
}

fn check(names: &Names, path: &Path<'_>, errors: &mut Vec<Error>) {
    let mut label = |key: &str, name: &str, mixed_case: bool| {
        let path = path.child(key);
        if name.is_empty() {
            errors.push(Error::required(path, ""));
            return;
        }
        let wrong = if mixed_case {
            dns1035_label(&name.to_lowercase())
        } else {
            dns1035_label(name)
        };
        if wrong.is_empty() {
            return;
        }
        let wrong = wrong.join(",");
        let detail = if mixed_case {
            format!("may have mixed case, but should otherwise match: {wrong}")
        } else {
            wrong
        };
        errors.push(Error::invalid(path, name, detail));
    };
    label("plural", &names.plural, false);
    label("singular", &names.singular, false);
    label("kind", &names.kind, true);
    label("listKind", &names.list_kind, true);
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(Error::invalid(
            path.child("listKind"),
            &names.list_kind,
            detail,
        ));
    }
}

fn labels(
    map: &Map<String, Value>,
    key: &str,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> Vec<String> {
    let items = list(map, key, path, errors);
    let path = path.child(key);
    let mut labels = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        let Some(name) = item.as_str() else {
            errors.push(Error::type_invalid(path, item, "must be a string"));
            continue;
        };
        let wrong = dns1035_label(name);
        if !wrong.is_empty() {
            errors.push(Error::invalid(path, name, wrong.join(",")));
        }
        labels.push(name.to_owned());
    }
    labels
}
