//! The reference, as a child process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

pub(crate) struct Oracle {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

// === impl Oracle ===

impl Oracle {
    /// Builds and starts the oracle; the reason if that is not possible.
    pub(crate) fn start() -> Result<Self, String> {
        static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let program = PROGRAM.get_or_init(build).clone()?;
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Where the reference's own test data is.
    pub(crate) fn testdata() -> Option<PathBuf> {
        let module = "sigs.k8s.io/structured-merge-diff/v6";
        let listed = Command::new("go")
            .args(["list", "-m", "-f", "{{.Dir}}", module])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/oracle"))
            .output()
            .ok()?;
        let folder = String::from_utf8(listed.stdout).ok()?;
        let folder = PathBuf::from(folder.trim()).join("internal/testdata");
        folder.is_dir().then_some(folder)
    }

    /// The content of a file of the test data. A schema is that of later cases without one.
    pub(crate) fn testdata_file(&mut self, file: &Path) -> Value {
        self.answer(&json!({"testdata": file}))["testdata"].take()
    }

    pub(crate) fn answer(&mut self, case: &Value) -> Value {
        let input = self.input.as_mut().expect("an input");
        writeln!(input, "{case}").expect("a running oracle");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}\n{case}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The oracle ends at the end of its input.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn build() -> Result<PathBuf, String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/oracle");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("structured-merge-oracle");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .output()
        .map_err(|error| format!("go: {error}"))?;
    if built.status.success() {
        return Ok(program);
    }
    let error = String::from_utf8_lossy(&built.stderr);
    let last = error.lines().last().unwrap_or_default();
    Err(format!("go build: {last}"))
}
