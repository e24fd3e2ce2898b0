//! Messages of errors, from the types that define them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Lit, LitStr, Meta};

/// Sections, and the files whose errors an operator or a client may see.
const SECTIONS: [(&str, &[&str]); 5] = [
    (
        "ark-apiserver: start and end",
        &[
            "gateway/src/app.rs",
            "gateway/src/config.rs",
            "gateway/src/config_file.rs",
            "gateway/src/resources/load.rs",
            "gateway/src/resources/catalog.rs",
            "gateway/src/serving/tls.rs",
            "gateway/src/serving_certificate/keeper.rs",
            "gateway/src/kube/client.rs",
            "gateway/src/audit/backend.rs",
            "crates/logs/src/lib.rs",
            "crates/logs/src/filter.rs",
        ],
    ),
    (
        "ark-apiserver standalone",
        &[
            "standalone/src/lib.rs",
            "standalone/src/kubeconfig.rs",
            "crates/pki/src/lib.rs",
        ],
    ),
    (
        "Storage, in responses of the gateway",
        &["gateway/src/store/error.rs"],
    ),
    (
        "backend-sqlite",
        &[
            "backend-sqlite/src/error.rs",
            "crates/sidecar/src/head.rs",
            "crates/sidecar/src/listen.rs",
            "crates/sidecar/src/run.rs",
        ],
    ),
    ("backend-postgres", &["backend-postgres/src/error.rs"]),
];

const HEAD: &str = "# Errors

Written by `cargo xtask reference` from the sources. Words in braces stand for values. Causes and remedies of the most
frequent errors are in [operating.md](../operating.md#troubleshooting). Messages about requests, which are those of
kube-apiserver, are not listed.
";

/// The messages of a file: message and meaning.
#[derive(Default)]
struct Messages {
    rows: Vec<(String, String)>,
    problem: Option<syn::Error>,
}

/// The page of errors.
pub(super) fn page(root: &Path) -> Result<String> {
    let mut page = String::from(HEAD);
    for (title, files) in SECTIONS {
        page.push_str(&format!(
            "\n## {title}\n\n| message | meaning |\n| --- | --- |\n"
        ));
        for file in files {
            for (message, meaning) in read(root, file)? {
                page.push_str(&format!("| {} | {meaning} |\n", code(&message)));
            }
        }
    }
    Ok(page)
}

fn read(root: &Path, file: &str) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned())?;
    let parsed = syn::parse_file(&text).with_context(|| file.to_owned())?;
    let mut messages = Messages::default();
    messages.visit_file(&parsed);
    if let Some(problem) = messages.problem {
        return Err(problem).with_context(|| file.to_owned());
    }
    ensure!(
        !messages.rows.is_empty(),
        "{file} defines no error: remove it from xtask/src/reference/errors.rs"
    );
    Ok(messages.rows)
}

impl Messages {
    fn add(&mut self, attributes: &[Attribute]) {
        let mut all = attributes.iter();
        let Some(error) = all.find(|attribute| attribute.path().is_ident("error")) else {
            return;
        };
        let message = error.parse_args_with(|input: syn::parse::ParseStream<'_>| {
            // `transparent` shows the message of another type.
            let message = match input.peek(LitStr) {
                true => Some(input.parse::<LitStr>()?.value()),
                false => None,
            };
            // The arguments of the format.
            input.parse::<proc_macro2::TokenStream>()?;
            Ok(message)
        });
        match message {
            // A message that is one value has no words of its own.
            Ok(Some(message)) if message.trim_matches(['{', '}', '0']).is_empty() => {}
            Ok(Some(message)) => {
                let cell = |text: &str| text.replace('|', "\\|");
                self.rows.push((cell(&message), cell(&meaning(attributes))));
            }
            Ok(None) => {}
            Err(problem) => self.problem = Some(problem),
        }
    }
}

impl<'ast> Visit<'ast> for Messages {
    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add(&variant.attrs);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.attrs);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {
        // Tests, or other files.
    }
}

/// A message as code in Markdown; two backticks if it contains one.
fn code(message: &str) -> String {
    if message.contains('`') {
        format!("`` {message} ``")
    } else {
        format!("`{message}`")
    }
}

/// The documentation as one line, without links of rustdoc.
fn meaning(attributes: &[Attribute]) -> String {
    let docs = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    let lines: Vec<String> = docs.collect();
    lines
        .join(" ")
        .replace("[`", "`")
        .replace("`]", "`")
        .trim()
        .to_owned()
}
