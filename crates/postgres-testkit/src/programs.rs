//! Locations of PostgreSQL's programs.

use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::run::run;

/// Environment variable with a directory that overrides all others.
pub const OVERRIDE: &str = "ARK_POSTGRES_BIN";

/// Oldest supported version: earlier ones have other names of the backup functions.
const OLDEST: u32 = 15;

/// Programs that every installation must have.
const NEEDED: [&str; 2] = ["initdb", "postgres"];

/// Directory of Debian's packages, with one subdirectory per version.
const PACKAGED: &str = "/usr/lib/postgresql";

/// An installation of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    version: String,
}

// === impl Programs ===

impl Programs {
    /// Searches `ARK_POSTGRES_BIN`, or else `PATH`, `/usr/lib/postgresql/*/bin` (newest first) and
    /// the cache directories that `dev/bootstrap` fills; returns the first supported version.
    ///
    /// # Errors
    /// [`Error::Missing`] with the remedy; [`Error::Failed`] if the servers' account cannot run the
    /// program.
    pub async fn find() -> Result<Self> {
        let account = Account::current()?;
        let mut looked = Vec::new();
        for place in places() {
            let Some(folder) = installation(&place) else {
                looked.push(place.display().to_string());
                continue;
            };
            let version = version_of(&folder, account).await?;
            let major = version.split('.').next().unwrap_or_default();
            if major.parse::<u32>().is_ok_and(|major| major < OLDEST) {
                looked.push(format!("{} (older than {OLDEST})", folder.display()));
                continue;
            }
            return Ok(Self { folder, version });
        }
        Err(missing("initdb", &looked))
    }

    /// Returns the path of a program; optional ones, such as `pg_ctl`, may be absent.
    ///
    /// # Errors
    /// [`Error::Missing`] if the installation lacks it.
    pub fn path(&self, program: &'static str) -> Result<PathBuf> {
        let path = self.folder.join(program);
        if path.is_file() {
            return Ok(path);
        }
        Err(missing(program, &[self.folder.display().to_string()]))
    }

    /// Returns the version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Returns the cache directory of this user, in which `dev/bootstrap` also installs programs.
pub(crate) fn cache() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(set.or_else(home)?.join("ark-apiserver"))
}

/// Returns the directories on the `PATH`.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

fn places() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os(OVERRIDE) {
        return vec![PathBuf::from(folder)];
    }
    let mut places = path_folders();
    places.extend(versions_in(Path::new(PACKAGED)));
    // Root's own cache is not accessible to the servers' account.
    let caches = [cache(), Some(PathBuf::from("/var/cache/ark-apiserver"))];
    for cache in caches.into_iter().flatten() {
        places.extend(versions_in(&cache.join("postgres")));
    }
    places
}

/// Returns the directory of a complete installation. Resolves a link on the `PATH` to the directory
/// with the other programs.
fn installation(place: &Path) -> Option<PathBuf> {
    let real = place.join("initdb").canonicalize().ok()?;
    let folder = real.parent()?;
    let whole = NEEDED.iter().all(|program| folder.join(program).is_file());
    whole.then(|| folder.to_path_buf())
}

async fn version_of(folder: &Path, account: Account) -> Result<String> {
    let mut ask = account.command(folder.join("postgres"));
    ask.arg("--version");
    let what = format!(
        "{}/postgres --version as user {} (it and its libraries must be readable by all)",
        folder.display(),
        account.uid()
    );
    Ok(version_in(&run(ask, &what).await?))
}

/// Returns the `bin` directories of the versions in a directory, newest first.
fn versions_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .map(|entry| {
            let name = entry.file_name();
            let parts = name.to_string_lossy();
            let parts = parts.split('.').map(|part| part.parse().unwrap_or(0));
            (parts.collect(), entry.path().join("bin"))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

/// Parses `postgres (PostgreSQL) 15.18 (vendor's words)` → `15.18`.
fn version_in(printed: &str) -> String {
    let word = printed.split_whitespace().nth(2);
    word.unwrap_or("unknown").to_owned()
}

fn missing(program: &'static str, looked: &[String]) -> Error {
    Error::Missing {
        program,
        looked: looked.join(", "),
        advice: format!(
            "run dev/bootstrap, install the package postgresql, or set {OVERRIDE} to the \
             directory of PostgreSQL's programs"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{installation, version_in, versions_in};

    #[test]
    fn versions_compare_numerically() {
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["9.6", "18.1.0", "15"] {
            std::fs::create_dir_all(folder.path().join(version).join("bin")).expect("a version");
        }
        let found: Vec<String> = versions_in(folder.path())
            .iter()
            .map(|bin| {
                bin.strip_prefix(folder.path())
                    .expect("inside")
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(found, ["18.1.0/bin", "15/bin", "9.6/bin"]);
    }

    #[test]
    fn link_resolves_to_its_installation() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, links) = (folder.path().join("real"), folder.path().join("links"));
        std::fs::create_dir_all(&real).expect("a folder");
        std::fs::create_dir_all(&links).expect("a folder");
        std::fs::write(real.join("initdb"), "").expect("a program");
        std::os::unix::fs::symlink(real.join("initdb"), links.join("initdb")).expect("a link");
        assert_eq!(installation(&links), None, "postgres is missing");
        std::fs::write(real.join("postgres"), "").expect("a program");
        assert_eq!(installation(&links), real.canonicalize().ok());
    }

    #[test]
    fn vendor_is_not_part_of_version() {
        assert_eq!(
            version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0)\n"),
            "15.18"
        );
    }
}
