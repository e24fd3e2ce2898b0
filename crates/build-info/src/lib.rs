//! Commit and date of a build. The build script of each program calls [`emit`]; the program then
//! has `ARK_BUILD_COMMIT`, `ARK_BUILD_TREE_STATE`, `ARK_BUILD_DATE` and `ARK_BUILD_VERSION` at
//! compile time.
//!
//! A packager without a repository sets the first three in the environment. `SOURCE_DATE_EPOCH`
//! sets the date of a reproducible build.

#![expect(clippy::print_stdout, reason = "a build script talks to cargo")]

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Value of a part that cannot be determined.
const UNKNOWN: &str = "unknown";
/// Digits of the commit in a version.
const SHORT: usize = 12;

/// What a program was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Commit, in full.
    pub commit: String,
    /// `clean`, or `dirty` if files differ from the commit.
    pub tree_state: String,
}

/// Prints the instructions of a build script: variables, and when it runs again.
pub fn emit() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let folder = variable("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".to_owned());
    let folder = Path::new(&folder);
    let found = Source::of(folder);
    let commit = variable("ARK_BUILD_COMMIT").unwrap_or(found.commit);
    let tree_state = variable("ARK_BUILD_TREE_STATE").unwrap_or(found.tree_state);
    let seconds = variable("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    });
    let date = variable("ARK_BUILD_DATE").unwrap_or_else(|| rfc3339(seconds));
    let debug = variable("PROFILE").is_some_and(|profile| profile == "debug");
    let package = variable("CARGO_PKG_VERSION").unwrap_or_default();
    let version = version(&package, &commit, &date, debug);
    for (name, value) in [
        ("ARK_BUILD_COMMIT", &commit),
        ("ARK_BUILD_TREE_STATE", &tree_state),
        ("ARK_BUILD_DATE", &date),
        ("ARK_BUILD_VERSION", &version),
    ] {
        println!("cargo::rustc-env={name}={value}");
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    // A debug build is not repeated for each commit, because cargo would compile every program and
    // its tests again. Its version says `debug`.
    if !debug {
        for file in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(folder, &["rev-parse", "--git-path", file]) {
                let path = folder.join(path);
                if path.exists() {
                    println!("cargo::rerun-if-changed={}", path.display());
                }
            }
        }
    }
}

impl Source {
    /// The commit that is checked out in a folder; unknown outside a repository.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let commit = git(folder, &["rev-parse", "HEAD"]);
        let status = git(folder, &["status", "--porcelain", "--untracked-files=no"]);
        let tree_state = match (&commit, status.as_deref()) {
            (Some(_), Some("")) => "clean",
            (Some(_), Some(_)) => "dirty",
            _ => UNKNOWN,
        };
        Self {
            commit: commit.unwrap_or_else(|| UNKNOWN.to_owned()),
            tree_state: tree_state.to_owned(),
        }
    }
}

/// Output of a git command; `None` if it fails.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

/// The text of `--version` after the name of the program.
fn version(package: &str, commit: &str, date: &str, debug: bool) -> String {
    let commit = commit.get(..SHORT).unwrap_or(commit);
    let debug = if debug { ", debug" } else { "" };
    format!("{package} (commit {commit}, built {date}{debug})")
}

/// Formats seconds since 1970.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, in years that begin in March: the leap day is the last of a year.
    // 719,468 days lie between 0000-03-01 and 1970-01-01, 146,097 days in 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_formatted_as_rfc_3339() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }

    #[test]
    fn version_has_commit_and_date() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let date = "2026-01-01T00:00:00Z";
        assert_eq!(
            version("0.1.0", commit, date, false),
            "0.1.0 (commit 0123456789ab, built 2026-01-01T00:00:00Z)"
        );
        assert_eq!(
            version("0.1.0", UNKNOWN, date, true),
            "0.1.0 (commit unknown, built 2026-01-01T00:00:00Z, debug)"
        );
    }

    #[test]
    fn source_is_that_of_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let outside = Source::of(folder.path());
        assert_eq!(outside.commit, UNKNOWN);
        assert_eq!(outside.tree_state, UNKNOWN);
        let run = |arguments: &[&str]| git(folder.path(), arguments).expect("git");
        run(&["init", "--quiet"]);
        std::fs::write(folder.path().join("a"), "1").unwrap();
        run(&["add", "a"]);
        let name = ["-c", "user.name=a", "-c", "user.email=a@b"];
        run(&[&name[..], &["commit", "--quiet", "-m", "a"]].concat());
        let clean = Source::of(folder.path());
        assert_eq!(clean.commit.len(), 40);
        assert_eq!(clean.tree_state, "clean");
        std::fs::write(folder.path().join("a"), "2").unwrap();
        let dirty = Source::of(folder.path());
        assert_eq!(
            (dirty.commit, dirty.tree_state),
            (clean.commit, "dirty".to_owned())
        );
    }
}
