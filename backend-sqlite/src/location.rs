//! Where the files of a store are: beside the real database, never beside a link to it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::connection::refuse;
use crate::error::Error;
use crate::options::Options;

/// Returns the options with the real path of the database, which may not exist yet.
pub(crate) fn resolve(options: &Options) -> Result<Options, Error> {
    let path = real(&options.path)?;
    if let Ok(found) = std::fs::metadata(&path) {
        check_kind(&path, &found)?;
    }
    Ok(Options {
        path,
        ..options.clone()
    })
}

/// Returns the directory of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Flushes the directory of a file, so that a rename or a new name survives a loss of power.
pub(crate) fn sync_folder(file: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder(file))?.sync_all()
}

/// Rejects a database that is a mount point of its own: its write-ahead log would be elsewhere, and
/// lost with the container. Compares regular files, because overlay file systems report another
/// device for directories.
pub(crate) fn check_device(path: &Path, beside: &Path) -> Result<(), Error> {
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev());
    match (device(path), device(beside)) {
        (Ok(one), Ok(other)) if one != other => {
            let problem = format!(
                "the database is on another device than its folder {}, so it would be separated \
                 from its write-ahead log: mount the folder instead of the file",
                folder(path).display()
            );
            Err(refuse(path, problem))
        }
        _ => Ok(()),
    }
}

fn real(path: &Path) -> Result<PathBuf, Error> {
    match std::fs::canonicalize(path) {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(path, format!("cannot read: {error}"))),
    }
    if let Ok(target) = std::fs::read_link(path) {
        let problem = format!(
            "the symbolic link leads to {}, which does not exist: put the database there, or \
             remove the link",
            target.display()
        );
        return Err(refuse(path, problem));
    }
    let parent = folder(path);
    let name = path
        .file_name()
        .ok_or_else(|| refuse(path, "this is not the path of a file: correct --path"))?;
    match std::fs::canonicalize(parent) {
        Ok(real) if real.is_dir() => Ok(real.join(name)),
        _ => {
            let problem = format!(
                "the directory {} does not exist: create it or correct --path",
                parent.display()
            );
            Err(refuse(path, problem))
        }
    }
}

fn check_kind(path: &Path, found: &Metadata) -> Result<(), Error> {
    if !found.is_file() {
        return Err(refuse(path, "this is not a regular file: correct --path"));
    }
    // Each name would have a write-ahead log of its own.
    if found.nlink() > 1 {
        let problem = format!(
            "the file has {} names (hard links), and each name would have a write-ahead log of its \
             own: remove the other names, or copy the file and serve the copy",
            found.nlink()
        );
        return Err(refuse(path, problem));
    }
    Ok(())
}
