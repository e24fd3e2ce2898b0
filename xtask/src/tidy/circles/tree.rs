//! The modules of a crate: what each defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use syn::visit::{self, Visit};

/// Names from the root of a crate to a module.
pub(super) type ModulePath = Vec<String>;

/// All modules of a crate, test modules excluded.
#[derive(Debug, Default)]
pub(super) struct Crate {
    pub(super) modules: BTreeMap<ModulePath, Module>,
}

/// One module.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Names of the items that it defines, modules excluded.
    items: BTreeSet<String>,
    /// Name in scope → path of the import.
    imports: BTreeMap<String, Vec<String>>,
    /// Modules of which everything is imported.
    globs: Vec<Vec<String>>,
    /// Every path in its code and every imported path.
    pub(super) paths: BTreeSet<Vec<String>>,
}

impl Crate {
    /// Reads the file of the root and those of the modules that it declares.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let folder = root.parent().context("a root without a folder")?;
        Self::from_files(root, |path: &[String]| {
            let file: PathBuf = folder.join(path.join("/")).with_extension("rs");
            std::fs::read_to_string(&file).with_context(|| file.display().to_string())
        })
    }

    fn from_files(root: &Path, read: impl Fn(&[String]) -> Result<String>) -> Result<Self> {
        let text = std::fs::read_to_string(root).with_context(|| root.display().to_string())?;
        Self::parse(&text, read)
    }

    /// Parses a root and, through `read`, the modules in files of their own.
    pub(super) fn parse(root: &str, read: impl Fn(&[String]) -> Result<String>) -> Result<Self> {
        let mut found = Self::default();
        let mut open = vec![(ModulePath::new(), syn::parse_file(root)?.items)];
        while let Some((path, items)) = open.pop() {
            let mut module = Module::default();
            for item in &items {
                module.visit_item(item);
            }
            for item in items {
                let syn::Item::Mod(item) = item else { continue };
                if is_test(&item.attrs) {
                    continue;
                }
                let mut child = path.clone();
                child.push(item.ident.to_string());
                let items = match item.content {
                    Some((_, items)) => items,
                    None => {
                        let text = read(&child)?;
                        let file = syn::parse_file(&text);
                        file.with_context(|| child.join("::"))?.items
                    }
                };
                open.push((child, items));
            }
            if found.modules.insert(path.clone(), module).is_some() {
                bail!("module {} is declared twice", path.join("::"));
            }
        }
        Ok(found)
    }

    /// The module that defines what a path names in the code of `from`; `None` if that is outside
    /// this crate, or a local name.
    pub(super) fn home(&self, from: &[String], path: &[String]) -> Option<ModulePath> {
        self.resolve(from, path, &mut BTreeSet::new())
    }

    /// `tried` holds the names that were looked up, because imports may refer to one another, and
    /// one of another crate may have its name: `use http::http`.
    fn resolve(
        &self,
        from: &[String],
        path: &[String],
        tried: &mut BTreeSet<(ModulePath, String)>,
    ) -> Option<ModulePath> {
        let mut at = from.to_vec();
        let mut rest = path;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => at.truncate(at.len().checked_sub(1)?),
                "self" => {}
                _ => break,
            }
            rest = after;
        }
        while let Some((first, after)) = rest.split_first() {
            let mut child = at.clone();
            child.push(first.clone());
            if self.modules.contains_key(&child) {
                at = child;
                rest = after;
                continue;
            }
            let module = self.modules.get(&at)?;
            if !tried.insert((at.clone(), first.clone())) {
                return None;
            }
            if module.items.contains(first) {
                return Some(at);
            }
            if let Some(import) = module.imports.get(first) {
                let import: Vec<String> = import.iter().chain(after).cloned().collect();
                return self.resolve(&at, &import, tried);
            }
            return module.globs.iter().find_map(|glob| {
                let path: Vec<String> = glob.iter().chain(rest).cloned().collect();
                self.resolve(&at, &path, tried)
            });
        }
        // The path is of a module.
        (at != from).then_some(at)
    }
}

impl Module {
    fn import(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let joined = |name: &syn::Ident| {
            let mut path = prefix.to_vec();
            if name != "self" || path.is_empty() {
                path.push(name.to_string());
            }
            path
        };
        match tree {
            syn::UseTree::Path(part) => self.import(&part.tree, &joined(&part.ident)),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix);
                }
            }
            syn::UseTree::Name(name) => {
                let path = joined(&name.ident);
                self.named(path.last().cloned(), path);
            }
            syn::UseTree::Rename(rename) => {
                self.named(Some(rename.rename.to_string()), joined(&rename.ident));
            }
            syn::UseTree::Glob(_) => self.globs.push(prefix.to_vec()),
        }
    }

    fn named(&mut self, name: Option<String>, path: Vec<String>) {
        self.paths.insert(path.clone());
        if let Some(name) = name.filter(|name| name != "_") {
            self.imports.insert(name, path);
        }
    }

    fn define(&mut self, name: &syn::Ident) {
        self.items.insert(name.to_string());
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            // Modules are visited on their own.
            syn::Item::Mod(_) => return,
            syn::Item::Use(item) => {
                if !is_test(&item.attrs) {
                    self.import(&item.tree, &[]);
                }
                return;
            }
            syn::Item::Const(item) => self.define(&item.ident),
            syn::Item::Enum(item) => self.define(&item.ident),
            syn::Item::Fn(item) if is_test(&item.attrs) => return,
            syn::Item::Fn(item) => self.define(&item.sig.ident),
            syn::Item::Static(item) => self.define(&item.ident),
            syn::Item::Struct(item) => self.define(&item.ident),
            syn::Item::Trait(item) => self.define(&item.ident),
            syn::Item::TraitAlias(item) => self.define(&item.ident),
            syn::Item::Type(item) => self.define(&item.ident),
            syn::Item::Union(item) => self.define(&item.ident),
            syn::Item::Impl(item) if is_test(&item.attrs) => return,
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let segments: Vec<String> = segments.map(|part| part.ident.to_string()).collect();
        if path.leading_colon.is_none() {
            self.paths.insert(segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(super)` names a module and uses nothing of it.
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
