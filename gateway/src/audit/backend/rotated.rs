//! A file that is renamed when it is full, and a new one begun.
//!
//! Names and rules are those of lumberjack, which kube-apiserver uses: `audit.log` becomes
//! `audit-2006-01-02T15-04-05.000.log`, and `….log.gz` when it is compressed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Time in the name of an old file, UTC.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// Events name users and objects: only the user of the server may read them.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const MEBIBYTE: u64 = 1 << 20;

/// When a file is rotated, and how many old files are kept; 0 is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Largest file, MiB.
    pub max_size: u64,
    /// Largest number of old files.
    pub max_backups: usize,
    /// Largest age of old files, days.
    pub max_age: u64,
    /// Whether old files are compressed.
    pub compress: bool,
}

/// A file that is rotated.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    /// Compresses and removes old files. At most one at a time.
    cleaning: Option<JoinHandle<()>>,
}

/// An old file.
#[derive(Debug)]
struct Backup {
    path: PathBuf,
    time: Timestamp,
    compressed: bool,
}

impl Rotated {
    /// Opens or creates the file, and its folder.
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(FOLDER_MODE).create(folder)?;
        }
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        let mut this = Self {
            path: path.to_owned(),
            rotation,
            file,
            size,
            cleaning: None,
        };
        this.clean();
        Ok(this)
    }

    /// Whether the file may grow by this much.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let max = self.rotation.max_size.saturating_mul(MEBIBYTE);
        max == 0 || self.size + bytes as u64 <= max
    }

    /// Appends complete lines; rotates first if the file is full. A partial line of a failed write
    /// is removed again.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.has_room(lines.len()) && self.size > 0 {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(lines) {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let time = strtime::format(TIME, &Timestamp::now().to_zoned(TimeZone::UTC));
        let time = time.map_err(io::Error::other)?;
        let (stem, extension) = affixes(&self.path);
        let backup = self
            .path
            .with_file_name(format!("{stem}-{time}{extension}"));
        fs::rename(&self.path, backup)?;
        self.file = append_to(&self.path)?;
        self.size = self.file.metadata()?.len();
        self.clean();
        Ok(())
    }

    /// Compresses and removes old files on a thread, because that takes seconds.
    fn clean(&mut self) {
        if self.cleaning.as_ref().is_some_and(|it| !it.is_finished()) {
            // The next rotation does what this one leaves.
            return;
        }
        self.finish();
        let (path, rotation) = (self.path.clone(), self.rotation);
        let run = move || {
            if let Err(error) = clean(&path, rotation, Timestamp::now()) {
                tracing::warn!(%error, path = %path.display(), "cannot clean up old audit logs");
            }
        };
        let thread = thread::Builder::new().name("audit-clean".to_owned());
        self.cleaning = thread.spawn(run).ok();
    }

    /// Waits for the end of the clean-up.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.cleaning.take() {
            let _ = thread.join();
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(FILE_MODE);
    options.open(path)
}

/// The name of the file without its extension, and the extension with its dot.
fn affixes(path: &Path) -> (String, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.rfind('.') {
        Some(dot) => (name[..dot].to_owned(), name[dot..].to_owned()),
        None => (name.into_owned(), String::new()),
    }
}

/// Removes old files that are too many or too old, and compresses the others.
fn clean(path: &Path, rotation: Rotation, now: Timestamp) -> io::Result<()> {
    let mut backups = backups(path)?;
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.time));
    let oldest = now - jiff::SignedDuration::from_hours(24 * rotation.max_age.min(36_500) as i64);
    for (at, backup) in backups.into_iter().enumerate() {
        let surplus = rotation.max_backups > 0 && at >= rotation.max_backups;
        let expired = rotation.max_age > 0 && backup.time < oldest;
        if surplus || expired {
            fs::remove_file(&backup.path)?;
        } else if rotation.compress && !backup.compressed {
            compress(&backup.path)?;
        }
    }
    Ok(())
}

fn backups(path: &Path) -> io::Result<Vec<Backup>> {
    let (stem, extension) = affixes(path);
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let mut backups = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (name, compressed) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (&*name, false),
        };
        let time = name
            .strip_prefix(&*stem)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(&*extension));
        let time = time.and_then(|time| {
            let parsed = strtime::parse(TIME, time).and_then(|time| time.to_datetime());
            let time = parsed.and_then(|time| time.to_zoned(TimeZone::UTC));
            time.ok().map(|time| time.timestamp())
        });
        backups.extend(time.map(|time| Backup {
            path: path.clone(),
            time,
            compressed,
        }));
    }
    Ok(backups)
}

/// Replaces a file by a compressed one. One that is left from a crash is overwritten.
fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let mut options = OpenOptions::new();
    options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(FILE_MODE);
    let mut encoder = GzEncoder::new(options.open(&name)?, Compression::default());
    let copied = io::copy(&mut File::open(path)?, &mut encoder);
    let written = copied.and_then(|_| encoder.finish()?.sync_all());
    match written {
        Ok(()) => fs::remove_file(path),
        Err(error) => {
            fs::remove_file(&name)?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NONE: Rotation = Rotation {
        max_size: 1,
        max_backups: 0,
        max_age: 0,
        compress: false,
    };

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn full_file_is_renamed_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/audit.log");
        let mut file = Rotated::open(&path, NONE).unwrap();
        let line = vec![b'x'; 600 << 10];
        file.append(&line).unwrap();
        assert_eq!(names(path.parent().unwrap()), ["audit.log"]);
        file.append(&line).unwrap();
        file.finish();
        let found = names(path.parent().unwrap());
        assert_eq!(found.len(), 2, "{found:?}");
        let backup = Timestamp::now().to_string();
        assert!(
            found[0].starts_with(&format!("audit-{}", &backup[..10])),
            "{found:?}"
        );
        assert_eq!(found[0].len(), "audit-2006-01-02T15-04-05.000.log".len());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        let mode = fs::metadata(path.parent().unwrap())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, FOLDER_MODE);
    }

    #[test]
    fn line_larger_than_the_limit_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = Rotated::open(&path, NONE).unwrap();
        file.append(&vec![b'x'; 2 << 20]).unwrap();
        file.append(b"y").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        assert_eq!(fs::read(&path).unwrap(), b"y");
    }

    #[test]
    fn old_files_are_removed_and_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let old = |day: u32| {
            folder
                .path()
                .join(format!("audit-2026-11-{day:02}T00-00-00.000.log"))
        };
        for day in 1..=5 {
            fs::write(old(day), format!("day {day}")).unwrap();
        }
        fs::write(folder.path().join("audit-notes.log"), "kept").unwrap();
        let rotation = Rotation {
            max_backups: 3,
            max_age: 2,
            compress: true,
            ..NONE
        };
        let now = "2026-11-06T12:00:00Z".parse().unwrap();
        clean(&path, rotation, now).unwrap();
        let kept = "audit-2026-11-05T00-00-00.000.log.gz";
        assert_eq!(names(folder.path()), [kept, "audit-notes.log"]);
        let mut text = String::new();
        let file = File::open(folder.path().join(kept)).unwrap();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "day 5");
        for day in 1..=5 {
            fs::write(old(day), "again").unwrap();
        }
        let rotation = Rotation {
            max_backups: 2,
            max_age: 0,
            ..NONE
        };
        clean(&path, rotation, now).unwrap();
        assert_eq!(names(folder.path()).len(), 3);
    }
}
