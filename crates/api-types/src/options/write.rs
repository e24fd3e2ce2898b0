//! Options of create, update and patch.

use super::check;
use super::query::Query;
use crate::field;
use crate::go_text;
use crate::status::ApiError;

/// Limit of a field manager's name, in bytes.
const MAX_FIELD_MANAGER: usize = 128;

/// Options of creating an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions(Write);

/// Options of replacing an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateOptions(Write);

/// Options of patching an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchOptions {
    write: Write,
    force: bool,
}

/// Treatment of fields that are unknown or repeated. The variants are named as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and warn.
    #[default]
    Warn,
    /// Reject the request.
    Strict,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Write {
    field_manager: String,
    dry_run: bool,
    /// None if the client sent none.
    field_validation: Option<FieldValidation>,
}

/// The field manager of a client that sends none: its User-Agent up to the slash.
#[must_use]
pub fn default_field_manager(user_agent: &str) -> String {
    let product = user_agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for c in product.chars().filter(|&c| go_text::is_print(c)) {
        if name.len() + c.len_utf8() > MAX_FIELD_MANAGER {
            break;
        }
        name.push(c);
    }
    if name.is_empty() {
        name.push_str("unknown");
    }
    name
}

macro_rules! accessors {
    ($options:ident, $self:ident => $write:expr) => {
        impl $options {
            /// The owner of the written fields; empty if the client sent none.
            #[must_use]
            pub fn field_manager(&$self) -> &str {
                &$write.field_manager
            }

            /// Whether the request is a dry run.
            #[must_use]
            pub const fn dry_run(&$self) -> bool {
                $write.dry_run
            }

            /// The treatment of unknown and repeated fields.
            #[must_use]
            pub const fn field_validation(&$self) -> FieldValidation {
                match $write.field_validation {
                    Some(given) => given,
                    None => FieldValidation::Warn,
                }
            }

            /// The treatment that the client asked for; none if it did not.
            #[must_use]
            pub const fn given_field_validation(&$self) -> Option<FieldValidation> {
                $write.field_validation
            }
        }
    };
}

accessors!(CreateOptions, self => self.0);
accessors!(UpdateOptions, self => self.0);
accessors!(PatchOptions, self => self.write);

// === impl CreateOptions ===

impl CreateOptions {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 422 for values that are not permitted.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let (write, errors) = Write::parse(&Query::new(query));
        check("CreateOptions", &errors)?;
        Ok(Self(write))
    }
}

// === impl UpdateOptions ===

impl UpdateOptions {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 422 for values that are not permitted.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let (write, errors) = Write::parse(&Query::new(query));
        check("UpdateOptions", &errors)?;
        Ok(Self(write))
    }
}

// === impl PatchOptions ===

impl PatchOptions {
    /// Parses a query; `apply` if the patch is a server-side apply.
    ///
    /// # Errors
    ///
    /// 422 for values that are not permitted.
    pub fn parse(query: &str, apply: bool) -> Result<Self, ApiError> {
        let query = Query::new(query);
        let mut errors = Vec::new();
        let force = query.boolean("force");
        if apply && query.text("fieldManager").is_empty() {
            let why = "is required for apply patch";
            errors.push(field::Error::required("fieldManager", why));
        }
        if !apply && force.is_some() {
            let why = "may not be specified for non-apply patch";
            errors.push(field::Error::forbidden("force", why));
        }
        let (write, more) = Write::parse(&query);
        errors.extend(more);
        check("PatchOptions", &errors)?;
        Ok(Self {
            write,
            force: force.unwrap_or(false),
        })
    }

    /// Whether an apply takes ownership of fields from other managers.
    #[must_use]
    pub const fn force(&self) -> bool {
        self.force
    }
}

// === impl Write ===

impl Write {
    fn parse(query: &Query) -> (Self, Vec<field::Error>) {
        let mut errors = Vec::new();
        let field_manager = query.text("fieldManager");
        check_field_manager(field_manager, &mut errors);
        let dry_run = check_dry_run(&query.all("dryRun"), &mut errors);
        let field_validation = match query.text("fieldValidation") {
            "" => None,
            "Warn" => Some(FieldValidation::Warn),
            "Ignore" => Some(FieldValidation::Ignore),
            "Strict" => Some(FieldValidation::Strict),
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                let error = field::Error::not_supported("fieldValidation", other, &supported);
                errors.push(error);
                None
            }
        };
        let write = Self {
            field_manager: field_manager.to_owned(),
            dry_run,
            field_validation,
        };
        (write, errors)
    }
}

/// Whether this is a dry run; any value but `All` is an error.
pub(super) fn check_dry_run(values: &[String], errors: &mut Vec<field::Error>) -> bool {
    if values.iter().any(|value| value != "All") {
        errors.push(field::Error::not_supported("dryRun", values, &["All"]));
    }
    !values.is_empty()
}

fn check_field_manager(name: &str, errors: &mut Vec<field::Error>) {
    if name.len() > MAX_FIELD_MANAGER {
        errors.push(field::Error::too_long("fieldManager", MAX_FIELD_MANAGER));
    }
    for (at, c) in name.char_indices().filter(|&(_, c)| !go_text::is_print(c)) {
        let number = u32::from(c);
        let why = format!("invalid character U+{number:04X} (at position {at})");
        errors.push(field::Error::invalid("fieldManager", name, why));
    }
}
