//! A template of an empty cluster: initdb takes seconds, a copy a tenth of a second.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::programs::{Programs, cache};
use crate::run::run;
use crate::scratch::Scratch;
use crate::wait::Wait;

/// Version of the template; increment it with changes of [`initialize`], so that older templates
/// are not used.
const EDITION: u32 = 1;

/// Creates the empty cluster `data` in a scratch directory by copying the machine's template, which
/// is created if absent.
///
/// All copies have the same system identifier; `unique` initializes a new cluster instead.
pub(crate) async fn cluster(
    programs: &Programs,
    scratch: &Scratch,
    unique: bool,
) -> Result<PathBuf> {
    let data = scratch.path().join("data");
    let Some(templates) = cache().map(|cache| cache.join("postgres-templates")) else {
        return initialize(programs, scratch, &data).await;
    };
    // Without a writable home directory, initialize each cluster, which is slower.
    if unique || std::fs::create_dir_all(&templates).is_err() {
        return initialize(programs, scratch, &data).await;
    }
    let uid = scratch.account().uid();
    let template = templates.join(format!("{}-{uid}-{EDITION}", programs.version()));
    if !template.is_dir() {
        let _lock = lock(&templates.join("lock")).await?;
        if !template.is_dir() {
            make(programs, &templates, &template).await?;
        }
    }
    copy(&template, &data).await?;
    Ok(data)
}

/// Creates a template under a temporary name and renames it, so that an existing one is complete.
async fn make(programs: &Programs, templates: &Path, template: &Path) -> Result<()> {
    let scratch = Scratch::new()?;
    let data = scratch.path().join("data");
    let data = initialize(programs, &scratch, &data).await?;
    let part = templates.join("part");
    if part.exists() {
        // Left by a killed process; the lock is held here.
        std::fs::remove_dir_all(&part).map_err(Error::at(&part))?;
    }
    copy(&data, &part).await?;
    std::fs::rename(&part, template).map_err(Error::at(template))
}

async fn initialize(programs: &Programs, scratch: &Scratch, data: &Path) -> Result<PathBuf> {
    let mut command = scratch.account().command(programs.path("initdb")?);
    command
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
        .args(["--locale=C", "--no-sync", "--no-instructions", "-D"])
        .arg(data);
    run(command, "initdb").await?;
    Ok(data.to_path_buf())
}

/// Copies as the test's user, who may read the cache, and preserves the owner.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run(command, "cp -a of an empty cluster").await.map(|_| ())
}

/// Waits for the machine-wide lock on templates, held while the file is open.
async fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::at(path))?;
    let wait = Wait::begin("the lock on templates");
    while file.try_lock().is_err() {
        let held = || format!("another process holds {}", path.display());
        wait.again(held).await?;
    }
    Ok(file)
}
