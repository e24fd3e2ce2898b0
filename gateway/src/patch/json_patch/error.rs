//! Why an operation does not apply, in the words of `evanphx/json-patch` v4. Clients that patch get no
//! detail; the patches of admission webhooks are reported with it.

/// An operation does not apply to the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inapplicable {
    /// A container on the path does not exist.
    NoContainer,
    /// The member to remove does not exist.
    NoKey(String),
    /// No item has the index.
    NoIndex(i64),
    /// The token is not an index.
    NotIndex(String),
    /// The result would exceed a limit.
    Limit,
}

impl Inapplicable {
    /// The text below the first line of an error.
    fn detail(&self) -> String {
        match self {
            Self::NoContainer => "missing value".to_owned(),
            Self::NoKey(key) => {
                format!("Unable to remove nonexistent key: {key}: missing value")
            }
            Self::NoIndex(index) => {
                format!("Unable to access invalid index: {index}: invalid index referenced")
            }
            Self::NotIndex(token) => {
                format!("strconv.Atoi: parsing {token:?}: invalid syntax")
            }
            Self::Limit => "the result is too large or nested too deeply".to_owned(),
        }
    }

    /// The error of an `add` to a path.
    pub(super) fn in_add(&self, path: &str) -> String {
        match self {
            Self::NoContainer => {
                format!(
                    "add operation does not apply: doc is missing path: \"{path}\": missing value"
                )
            }
            _ => format!("error in add for path: '{path}': {}", self.insert_detail()),
        }
    }

    /// The error of a `remove`.
    pub(super) fn in_remove(&self, path: &str) -> String {
        match self {
            Self::NoContainer => format!(
                "remove operation does not apply: doc is missing path: \"{path}\": missing value"
            ),
            _ => format!("error in remove for path: '{path}': {}", self.detail()),
        }
    }

    /// The error of a `replace`.
    pub(super) fn in_replace(&self, path: &str) -> String {
        let what = match self {
            Self::NoContainer => "path",
            Self::NoKey(_) | Self::NoIndex(_) | Self::NotIndex(_) => "key",
            Self::Limit => return format!("error in remove for path: '{path}': {}", self.detail()),
        };
        format!("replace operation does not apply: doc is missing {what}: {path}: missing value")
    }

    /// The error of the first half of a `move`.
    pub(super) fn in_move_from(&self, from: &str) -> String {
        match self {
            Self::NoContainer => format!(
                "move operation does not apply: doc is missing from path: {from}: missing value"
            ),
            _ => {
                let key = from.rsplit('/').next().unwrap_or_default();
                format!("error in move for path: '{key}': {}", self.detail())
            }
        }
    }

    /// The error of the second half of a `move`.
    pub(super) fn in_move_to(&self, path: &str) -> String {
        match self {
            Self::NoContainer => format!(
                "move operation does not apply: doc is missing destination path: {path}: missing \
                 value"
            ),
            _ => format!("error in move for path: '{path}': {}", self.insert_detail()),
        }
    }

    /// The error of a `test` whose value cannot be read.
    pub(super) fn in_test(&self, path: &str) -> String {
        match self {
            Self::NoContainer => {
                format!("test operation does not apply: is missing path: {path}: missing value")
            }
            _ => format!("error in test for path: '{path}': {}", self.detail()),
        }
    }

    /// The error of the first half of a `copy`.
    pub(super) fn in_copy_from(&self, from: &str) -> String {
        match self {
            Self::NoContainer => format!(
                "copy operation does not apply: doc is missing from path: {from}: missing value"
            ),
            _ => format!("error in copy for from: '{from}': {}", self.detail()),
        }
    }

    /// The error of the second half of a `copy`.
    pub(super) fn in_copy_to(&self, path: &str) -> String {
        match self {
            Self::NoContainer => format!(
                "copy operation does not apply: doc is missing destination path: {path}: missing \
                 value"
            ),
            _ => format!(
                "error while adding value during copy: {}",
                self.insert_detail()
            ),
        }
    }

    fn insert_detail(&self) -> String {
        match self {
            Self::NotIndex(token) => format!(
                "value was not a proper array index: '{token}': {}",
                self.detail()
            ),
            _ => self.detail(),
        }
    }
}
