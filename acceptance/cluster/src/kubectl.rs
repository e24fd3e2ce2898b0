//! kubectl of the reference release.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube_http::Kubeconfig;
use regex::Regex;
use tokio::process::Command;
use tokio::time::timeout;

use crate::crds::without_group;
use crate::world::World;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What a command printed, with values that differ between equal servers replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) exit: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// kubectl of one user.
#[derive(Debug)]
pub(crate) struct Kubectl<'a> {
    world: &'a World,
    kubeconfig: std::path::PathBuf,
    masks: Vec<(Regex, &'static str)>,
}

impl<'a> Kubectl<'a> {
    /// Uses a kubeconfig with a default namespace.
    ///
    /// # Errors
    /// If the kubeconfig cannot be written.
    pub(crate) fn new(
        world: &'a World,
        name: &str,
        kubeconfig: &Kubeconfig,
        namespace: &str,
    ) -> Result<Self> {
        let file = world.folder.path().join(format!("{name}.kubeconfig"));
        kubeconfig.save(&file, namespace)?;
        let masks = [
            ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
            (
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)",
                "<time>",
            ),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+\d{4}", "<time>"),
            (r"(?i)(resource ?version:? *)\S+", "$1<version>"),
            (r#"("resourceVersion": ?)"\d+""#, "$1<version>"),
            (r"\b(\d+m)?\d+s\b", "<age>"),
            (r"/tmp/\S+", "<path>"),
            (r"(?m) +$", ""),
        ];
        let masks = masks.into_iter().map(|(pattern, replacement)| {
            let pattern = Regex::new(pattern).context(pattern)?;
            anyhow::Ok((pattern, replacement))
        });
        Ok(Self {
            world,
            kubeconfig: file,
            masks: masks.collect::<Result<_>>()?,
        })
    }

    /// Runs a command, whose words are separated by spaces, in `folder`.
    ///
    /// # Errors
    /// If kubectl cannot be started or does not end in time.
    pub(crate) async fn run(&self, command: &str, folder: &Path) -> Result<Output> {
        let mut kubectl = Command::new(&self.world.reference.kubectl);
        kubectl
            .args(command.split_whitespace())
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.world.folder.path().join("home"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBE_EDITOR", "sed -i s/size:.*/size:\\ 7/")
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(TIMEOUT, kubectl.output()).await;
        let output = output.with_context(|| format!("kubectl {command}: no end in {TIMEOUT:?}"))?;
        let output = output.context("cannot start kubectl")?;
        Ok(Output {
            exit: output.status.code(),
            out: self.normal(&output.stdout),
            err: self.normal(&output.stderr),
        })
    }

    fn normal(&self, bytes: &[u8]) -> String {
        let mut text = without_group(&String::from_utf8_lossy(bytes));
        for (pattern, replacement) in &self.masks {
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        text
    }
}
