//! An empty cluster to copy: making one takes seconds, a copy takes a tenth of one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::programs::{Programs, cache};
use crate::run::run;
use crate::scratch::Scratch;
use crate::wait::Wait;

/// Changed with [`initialize`], so that no older template is taken.
const EDITION: u32 = 1;

/// Makes the empty cluster `data` in a scratch directory, by copying the machine's template, which
/// is made if there is none.
///
/// All copies have one system identifier; `unique` makes a cluster of its own instead.
pub(crate) async fn cluster(
    programs: &Programs,
    scratch: &Scratch,
    unique: bool,
) -> Result<PathBuf> {
    let data = scratch.path().join("data");
    let Some(templates) = cache().map(|cache| cache.join("postgres-templates")) else {
        return initialize(programs, scratch, &data).await;
    };
    // A machine without a home still has servers, only slower ones.
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

/// Makes a template under another name first, so that one which is there is whole.
async fn make(programs: &Programs, templates: &Path, template: &Path) -> Result<()> {
    let scratch = Scratch::new()?;
    let data = scratch.path().join("data");
    let data = initialize(programs, &scratch, &data).await?;
    let part = templates.join("part");
    if part.exists() {
        // Of a process that was killed; we hold the lock.
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

/// By ourselves, who may read our cache, keeping the owner.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run(command, "cp -a of an empty cluster").await.map(|_| ())
}

/// Waits for the machine's lock on templates; it is open as long as the file is.
async fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::at(path))?;
    let wait = Wait::begin("the lock on templates");
    while file.try_lock().is_err() {
        let held = || format!("another process holds {}", path.display());
        wait.again(held).await?;
    }
    Ok(file)
}
