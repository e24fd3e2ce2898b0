//! Selection of objects by path and selectors.

use api_types::names;
use api_types::options::ListOptions;
use api_types::request_info::RequestInfo;
use api_types::selector::{FieldSelector, LabelSelector, Lookup};
use api_types::status::ApiError;

use crate::resources::Served;
use crate::store::{Equality, Filter, ObjectKey, Scope, Stored};

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// Validated selectors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

/// The range of keys that a request addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestScope {
    /// Empty for all namespaces, and for cluster-scoped resources.
    pub namespace: String,
    /// The only object that can match, if the request names one.
    pub name: Option<String>,
}

impl Selection {
    /// Parses the selectors of a list, a watch or the deletion of a collection.
    ///
    /// # Errors
    /// 400 for an unsupported field, or a name that differs from the path's.
    pub(crate) fn of(
        options: &ListOptions,
        served: &Served,
        info: &RequestInfo,
    ) -> Result<Self, ApiError> {
        for requirement in options.field_selector().requirements() {
            let field = requirement.field.as_str();
            let own = &served.version().selectable_fields;
            let known = field == NAME
                || (field == NAMESPACE && served.namespaced())
                || own.iter().any(|it| it.path == field);
            if !known {
                let message = format!("field label not supported: {field}");
                return Err(ApiError::bad_request(message));
            }
        }
        let fields = if info.name.is_empty() {
            options.field_selector().clone()
        } else {
            // The name of the path, or the name that the field selector requires.
            let narrowed = options.clone().for_name(&info.name)?;
            narrowed.field_selector().clone()
        };
        Ok(Self {
            labels: options.label_selector().clone(),
            fields,
        })
    }

    /// The range that contains all selected objects.
    pub(crate) fn scope(&self, info: &RequestInfo, served: &Served) -> RequestScope {
        let selected = self.fields.required(NAMESPACE);
        let selected = selected.filter(|it| names::dns1123_label(it).is_empty());
        let namespace = match info.namespace.as_str() {
            "" => selected.unwrap_or_default(),
            namespace => namespace,
        };
        let name = self.fields.required(NAME);
        // A namespaced object is identified only together with its namespace.
        let name = name.filter(|name| {
            (!namespace.is_empty() || !served.namespaced()) && names::path_segment(name).is_empty()
        });
        RequestScope {
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
        }
    }

    /// Whether the requirements contradict each other, so that nothing matches.
    pub(crate) fn is_nothing(&self) -> bool {
        self.labels.is_nothing() || self.fields.is_nothing()
    }

    /// Whether everything matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

impl Filter for Selection {
    fn matches(&self, object: &Stored) -> bool {
        self.labels.matches(&ByLabel(object)) && self.fields.matches(&ByField(object))
    }

    fn equalities(&self) -> Vec<Equality> {
        let labels = self.labels.equalities();
        let labels = labels.map(|(key, value)| Equality::Label(key.to_owned(), value.to_owned()));
        let fields = self.fields.requirements().iter();
        // Name and namespace are in the key, not among the fields.
        let fields = fields.filter(|it| it.equal && it.field != NAME && it.field != NAMESPACE);
        let fields = fields.map(|it| Equality::Field(it.field.clone(), it.value.clone()));
        labels.chain(fields).collect()
    }
}

impl RequestScope {
    /// The range as a scope of the store.
    pub(crate) fn store_scope(&self) -> Scope {
        match (&self.name, self.namespace.as_str()) {
            (Some(name), namespace) => Scope::Object(ObjectKey::new(namespace, name)),
            (None, "") => Scope::All,
            (None, namespace) => Scope::Namespace(namespace.to_owned()),
        }
    }

    /// The range without the name.
    pub(crate) fn widened(self) -> Self {
        Self { name: None, ..self }
    }
}

struct ByLabel<'a>(&'a Stored);

impl Lookup for ByLabel<'_> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.0.labels().get(name)
    }

    fn count(&self) -> usize {
        self.0.labels().len()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        self.0
            .labels()
            .iter()
            .all(|(name, value)| visit(name, value))
    }
}

struct ByField<'a>(&'a Stored);

impl Lookup for ByField<'_> {
    fn lookup(&self, name: &str) -> Option<&str> {
        match name {
            NAME => Some(self.0.key().name()),
            NAMESPACE => Some(self.0.key().namespace()),
            field => self.0.fields().get(field),
        }
    }

    fn count(&self) -> usize {
        2 + self.0.fields().len()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        let key = self.0.key();
        let own = [(NAME, key.name()), (NAMESPACE, key.namespace())];
        let mut fields = own.into_iter().chain(self.0.fields().iter());
        fields.all(|(name, value)| visit(name, value))
    }
}
