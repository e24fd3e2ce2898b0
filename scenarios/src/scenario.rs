//! The file format. `README.md` explains it with examples.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scenario {
    /// `folder/file` without the extension.
    #[serde(skip)]
    pub name: String,
    /// The subject of the scenario, in a sentence.
    pub description: String,
    /// Why the scenario does not run on the engine `cluster`, if it does not.
    #[serde(default)]
    pub not_in_cluster: Option<String>,
    /// Files in the working directory of kubectl steps. An object is written as JSON.
    #[serde(default)]
    pub files: BTreeMap<String, Value>,
    /// Regular expressions for random text, such as generated names.
    #[serde(default)]
    pub mask: Vec<String>,
    /// Preparation steps: they must succeed, and are not compared.
    #[serde(default)]
    pub setup: Vec<Step>,
    /// The compared steps.
    pub steps: Vec<Step>,
}

/// One step: exactly one of `request`, `kubectl`, `collect` and `parallel`, and its modifiers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Step {
    /// `METHOD path?query`. A path without leading slash is below the scenario's namespace in
    /// `judge.example.com/v1`.
    pub request: Option<String>,
    /// Arguments of kubectl, quoted as in a shell.
    pub kubectl: Option<String>,
    /// Waits for the background step of this name and records it.
    pub collect: Option<String>,
    /// Steps that run concurrently.
    pub parallel: Option<Vec<Self>>,

    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// Request body, sent as JSON.
    pub body: Option<Value>,
    /// Literal request body (instead of `body`), or kubectl's standard input.
    pub raw: Option<String>,
    /// Extra environment of kubectl.
    pub env: BTreeMap<String, String>,

    /// Runs the step in the background under this name.
    pub start: Option<String>,
    /// Condition that makes a background kubectl count as started.
    pub ready: Option<Ready>,
    /// Ends a watch after this many events.
    pub events: Option<usize>,
    /// Ends a background kubectl after this many lines of output.
    pub lines: Option<usize>,
    /// Timeout of the step, in seconds.
    pub timeout: Option<u64>,
    /// Number of repetitions of the step; `${i}` counts from 0.
    pub repeat: Option<usize>,

    /// Variables set from the response: JSON pointer, `header:Name` or `stdout`.
    pub save: BTreeMap<String, String>,
    /// Expectation that every engine must meet.
    pub expect: Expect,
    /// Part of the response that is compared between engines.
    pub compare: Compare,
    /// Compare the bytes of the body (order of keys, whitespace) instead of its JSON value.
    pub exact: bool,
}

/// Sign that a background kubectl has started its watch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Ready {
    /// This many lines on standard output.
    Lines(usize),
    /// This text on standard error.
    Stderr(String),
}

/// Part of a response that must be equal on both engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Compare {
    /// Status, selected headers, body.
    #[default]
    Full,
    /// Status and headers, and the body with every scalar replaced by its type.
    Shape,
    /// Status and headers (kubectl: the exit code and standard output).
    Status,
    /// Nothing; only `expect` is checked.
    None,
}

/// Expectations; a bare number is the status or exit code. By default a request must have a 2xx
/// status and kubectl must exit with 0.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "ExpectForm")]
pub struct Expect {
    /// HTTP status.
    pub status: Option<u16>,
    /// Exit code of kubectl.
    pub exit: Option<i32>,
    /// Headers and their exact values.
    pub headers: BTreeMap<String, String>,
    /// A part of the JSON body: objects may have more keys, everything else must be equal.
    pub body: Option<Value>,
    /// A part of each watch event, in order; the number of events must be equal.
    pub events: Option<Vec<Value>>,
    /// Number of watch events that remain in a client that parses resource versions as doubles and
    /// drops an event whose version is not greater than the last.
    pub numeric_client: Option<usize>,
    /// Texts that the body or kubectl's output (standard output, then standard error) must contain.
    pub contains: Vec<String>,
    /// JSON pointers that must not resolve.
    pub absent: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExpectForm {
    Code(u16),
    Full(Box<ExpectFields>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct ExpectFields {
    status: Option<u16>,
    exit: Option<i32>,
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    events: Option<Vec<Value>>,
    numeric_client: Option<usize>,
    contains: Vec<String>,
    absent: Vec<String>,
}

impl From<ExpectForm> for Expect {
    fn from(form: ExpectForm) -> Self {
        match form {
            ExpectForm::Code(code) => Self {
                status: Some(code),
                exit: Some(i32::from(code)),
                ..Self::default()
            },
            ExpectForm::Full(f) => Self {
                status: f.status,
                exit: f.exit,
                headers: f.headers,
                body: f.body,
                events: f.events,
                numeric_client: f.numeric_client,
                contains: f.contains,
                absent: f.absent,
            },
        }
    }
}

impl Scenario {
    /// Reads `file`, whose path below `root` becomes the scenario's name.
    ///
    /// # Errors
    /// If the file cannot be read or is not in the format.
    pub fn load(root: &Path, file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root).unwrap_or(file).with_extension("");
        Self::parse(&name.to_string_lossy(), &text).with_context(|| file.display().to_string())
    }

    /// Parses the text of a scenario called `name`.
    ///
    /// # Errors
    /// If the text is not in the format.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut scenario: Self = serde_saphyr::from_str(text)?;
        name.clone_into(&mut scenario.name);
        ensure!(!scenario.description.is_empty(), "the description is empty");
        ensure!(!scenario.steps.is_empty(), "the scenario has no steps");
        for (index, step) in scenario.setup.iter().chain(&scenario.steps).enumerate() {
            step.check().with_context(|| format!("step {index}"))?;
        }
        for pattern in &scenario.mask {
            regex::Regex::new(pattern)?;
        }
        Ok(scenario)
    }
}

impl Step {
    /// A line that identifies the step in a report.
    #[must_use]
    pub fn title(&self) -> String {
        if let Some(request) = &self.request {
            request.clone()
        } else if let Some(arguments) = &self.kubectl {
            format!("kubectl {arguments}")
        } else if let Some(name) = &self.collect {
            format!("collect {name}")
        } else {
            "parallel".to_owned()
        }
    }

    fn check(&self) -> Result<()> {
        let kinds = [
            self.request.is_some(),
            self.kubectl.is_some(),
            self.collect.is_some(),
            self.parallel.is_some(),
        ];
        if kinds.iter().filter(|present| **present).count() != 1 {
            bail!("a step must have exactly one of request, kubectl, collect, parallel");
        }
        ensure!(
            self.body.is_none() || self.raw.is_none(),
            "body and raw are mutually exclusive"
        );
        if let Some(request) = &self.request {
            ensure!(request.contains(' '), "a request must be `METHOD path`");
        }
        self.parallel.iter().flatten().try_for_each(Self::check)
    }
}
