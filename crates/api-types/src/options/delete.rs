//! Options of deleting, from the query or from a body.

use serde_json::Value;

use super::check;
use super::query::Query;
use super::write::check_dry_run;
use crate::field;
use crate::status::ApiError;

/// Options of deleting an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    preconditions: Preconditions,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<PropagationPolicy>,
    dry_run: bool,
    only_undecodable: bool,
}

/// Conditions that an object must meet to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Required uid.
    pub uid: Option<String>,
    /// Required resource version.
    pub resource_version: Option<String>,
}

/// Treatment of the objects that the deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationPolicy {
    /// Dependents are deleted before the object.
    Foreground,
    /// Dependents are deleted after the object.
    Background,
    /// Dependents remain.
    Orphan,
}

/// The options before validation.
#[derive(Default)]
struct Raw {
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
    dry_run: Vec<String>,
    only_undecodable: bool,
}

const ONLY_UNDECODABLE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

impl DeleteOptions {
    /// Parses a query, for a request without a body.
    ///
    /// # Errors
    ///
    /// 400 for a value that cannot be parsed, 422 for values that are not permitted.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let query = Query::new(query);
        let some = |key| {
            let text = query.text(key);
            (!text.is_empty()).then(|| text.to_owned())
        };
        let preconditions = Preconditions {
            uid: some("uid"),
            resource_version: some("resourceVersion"),
        };
        Self::check(Raw {
            grace_period_seconds: query.integer("gracePeriodSeconds")?,
            preconditions: Some(preconditions).filter(|it| *it != Preconditions::default()),
            orphan_dependents: query.boolean("orphanDependents"),
            propagation_policy: query.get("propagationPolicy").map(str::to_owned),
            dry_run: query.all("dryRun"),
            only_undecodable: query.boolean(ONLY_UNDECODABLE).unwrap_or_default(),
        })
    }

    /// Reads a decoded body. The caller checks `apiVersion` and `kind`.
    ///
    /// # Errors
    ///
    /// 400 for a field of the wrong type, 422 for values that are not permitted.
    pub fn from_body(body: &Value) -> Result<Self, ApiError> {
        let preconditions = body.get("preconditions").filter(|it| !it.is_null());
        let preconditions = preconditions.map(read_preconditions).transpose()?;
        let only_undecodable = optional(body, ONLY_UNDECODABLE, "bool", Value::as_bool)?;
        let dry_run = match body.get("dryRun") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text.clone()),
                    other => Err(wrong_type(other, "dryRun", "string")),
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(wrong_type(other, "dryRun", "[]string")),
        };
        Self::check(Raw {
            grace_period_seconds: optional(body, "gracePeriodSeconds", "int64", Value::as_i64)?,
            preconditions,
            orphan_dependents: optional(body, "orphanDependents", "bool", Value::as_bool)?,
            propagation_policy: optional(
                body,
                "propagationPolicy",
                "v1.DeletionPropagation",
                Value::as_str,
            )?
            .map(str::to_owned),
            dry_run,
            only_undecodable: only_undecodable.unwrap_or_default(),
        })
    }

    /// Conditions that the object must meet.
    #[must_use]
    pub const fn preconditions(&self) -> &Preconditions {
        &self.preconditions
    }

    /// Grace period in seconds; custom resources have none and ignore it.
    #[must_use]
    pub const fn grace_period_seconds(&self) -> Option<i64> {
        self.grace_period_seconds
    }

    /// The treatment of dependents, from `propagationPolicy` or the deprecated `orphanDependents`.
    /// `None` leaves the decision to the object's finalizers.
    #[must_use]
    pub const fn propagation_policy(&self) -> Option<PropagationPolicy> {
        match (self.propagation_policy, self.orphan_dependents) {
            (Some(policy), _) => Some(policy),
            (None, Some(true)) => Some(PropagationPolicy::Orphan),
            (None, Some(false)) => Some(PropagationPolicy::Background),
            (None, None) => None,
        }
    }

    /// The deprecated `orphanDependents`.
    #[must_use]
    pub const fn orphan_dependents(&self) -> Option<bool> {
        self.orphan_dependents
    }

    /// Whether the request is a dry run.
    #[must_use]
    pub const fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether only an object that cannot be decoded may be deleted
    /// (`ignoreStoreReadErrorWithClusterBreakingPotential`).
    #[must_use]
    pub const fn only_undecodable(&self) -> bool {
        self.only_undecodable
    }

    /// Checks options of the deletion of a collection.
    ///
    /// # Errors
    ///
    /// 422 for options that only apply to single objects.
    pub fn check_collection(&self) -> Result<(), ApiError> {
        let detail = "is not allowed with DELETECOLLECTION, try again after removing the option";
        let error = || field::Error::invalid(ONLY_UNDECODABLE, true, detail);
        let errors: Vec<field::Error> = self.only_undecodable.then(error).into_iter().collect();
        check("DeleteOptions", &errors)
    }

    fn check(raw: Raw) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let policy = raw.propagation_policy.as_deref();
        if let (Some(policy), Some(_)) = (policy, raw.orphan_dependents) {
            errors.push(field::Error::invalid(
                "propagationPolicy",
                policy,
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let propagation_policy = policy.and_then(|policy| match policy {
            "Foreground" => Some(PropagationPolicy::Foreground),
            "Background" => Some(PropagationPolicy::Background),
            "Orphan" => Some(PropagationPolicy::Orphan),
            other => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                let field = "propagationPolicy";
                errors.push(field::Error::not_supported(field, other, &supported));
                None
            }
        });
        let dry_run = check_dry_run(&raw.dry_run, &mut errors);
        let others = [
            ("propagationPolicy", policy.is_some()),
            ("orphanDependents", raw.orphan_dependents.is_some()),
            ("gracePeriodSeconds", raw.grace_period_seconds.is_some()),
            ("preconditions", raw.preconditions.is_some()),
        ];
        for (other, _) in others
            .iter()
            .filter(|(_, set)| raw.only_undecodable && *set)
        {
            let detail = format!("cannot be set together with .{other}");
            errors.push(field::Error::invalid(ONLY_UNDECODABLE, true, detail));
        }
        check("DeleteOptions", &errors)?;
        Ok(Self {
            grace_period_seconds: raw.grace_period_seconds,
            preconditions: raw.preconditions.unwrap_or_default(),
            orphan_dependents: raw.orphan_dependents,
            propagation_policy,
            dry_run,
            only_undecodable: raw.only_undecodable,
        })
    }
}

fn read_preconditions(preconditions: &Value) -> Result<Preconditions, ApiError> {
    let text = |key, go_type| -> Result<Option<String>, ApiError> {
        let text = optional(preconditions, key, go_type, Value::as_str)?;
        Ok(text.map(str::to_owned))
    };
    Ok(Preconditions {
        uid: text("uid", "types.UID")?,
        resource_version: text("resourceVersion", "string")?,
    })
}

fn optional<'a, T>(
    object: &'a Value,
    key: &str,
    go_type: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(wrong_type(value, key, go_type)),
        },
    }
}

/// The message of Go's decoder for a value of the wrong type.
fn wrong_type(value: &Value, key: &str, go_type: &str) -> ApiError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    ApiError::bad_request(format!(
        "json: cannot unmarshal {found} into Go struct field DeleteOptions.{key} of type {go_type}"
    ))
}
