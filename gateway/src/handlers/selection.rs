//! Which objects of a resource a request is about: its place, and its selectors.

use api_types::names;
use api_types::options::ListOptions;
use api_types::request_info::RequestInfo;
use api_types::selector::{FieldSelector, LabelSelector, Lookup};
use api_types::status::ApiError;

use crate::resources::Served;
use crate::store::{Equality, Filter, ObjectKey, Scope, Stored};

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// Checked selectors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

/// The part of the keys that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestScope {
    /// Empty for all namespaces, and for what has none.
    pub namespace: String,
    /// The one object that can match.
    pub name: Option<String>,
}

impl Selection {
    /// Reads the selectors of a list, a watch or the deletion of a collection.
    ///
    /// # Errors
    /// 400 for a field that cannot be selected by, or a name other than the path's.
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
            // Of the path, or what the selector pins it to.
            let narrowed = options.clone().for_name(&info.name)?;
            narrowed.field_selector().clone()
        };
        Ok(Self {
            labels: options.label_selector().clone(),
            fields,
        })
    }

    /// Where to look for what is selected.
    pub(crate) fn scope(&self, info: &RequestInfo, served: &Served) -> RequestScope {
        let selected = self.fields.required(NAMESPACE);
        let selected = selected.filter(|it| names::dns1123_label(it).is_empty());
        let namespace = match info.namespace.as_str() {
            "" => selected.unwrap_or_default(),
            namespace => namespace,
        };
        let name = self.fields.required(NAME);
        // One object is named by its namespace, too.
        let name = name.filter(|name| {
            (!namespace.is_empty() || !served.namespaced()) && names::path_segment(name).is_empty()
        });
        RequestScope {
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
        }
    }

    /// Whether nothing can be selected, because the requirements contradict each other.
    pub(crate) fn is_nothing(&self) -> bool {
        self.labels.is_nothing() || self.fields.is_nothing()
    }

    /// Whether everything is selected.
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
        // Names and namespaces are in the key, not among the fields.
        let fields = fields.filter(|it| it.equal && it.field != NAME && it.field != NAMESPACE);
        let fields = fields.map(|it| Equality::Field(it.field.clone(), it.value.clone()));
        labels.chain(fields).collect()
    }
}

impl RequestScope {
    /// The same for the store.
    pub(crate) fn store_scope(&self) -> Scope {
        match (&self.name, self.namespace.as_str()) {
            (Some(name), namespace) => Scope::Object(ObjectKey::new(namespace, name)),
            (None, "") => Scope::All,
            (None, namespace) => Scope::Namespace(namespace.to_owned()),
        }
    }

    /// The same without regard to names.
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
