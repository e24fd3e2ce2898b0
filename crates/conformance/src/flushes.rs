//! Flushes of a driver's processes, from a trace of their system calls.
//!
//! The trace is made by `strace`, where it is installed and permitted. Its times are those of the
//! system's clock, as are the times of requests and responses, so that both can be compared.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// System calls that flush, write or open files, or may do so unseen.
const TRACED: &str = "trace=fsync,fdatasync,sync,syncfs,msync,sync_file_range,write,writev,\
                      pwrite64,pwritev,pwritev2,open,openat,io_uring_enter";

/// A system call of a trace.
#[derive(Debug)]
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    begun: Duration,
    ended: Duration,
    succeeded: bool,
}

/// A request and its response, since the beginning of 1970.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Time at which the request was sent.
    pub sent: Duration,
    /// Time at which the response was received.
    pub received: Duration,
}

/// Result of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flushes {
    /// Every request was flushed before its response.
    All,
    /// A file was written, and not flushed before the response.
    Missing {
        /// Number of requests without a flush.
        requests: usize,
        /// A file that was written.
        file: String,
    },
    /// The processes wrote to no file during the requests, as far as the trace shows.
    Unseen {
        /// Whether they use `io_uring`, whose operations are not traced.
        io_uring: bool,
    },
}

/// Whether processes can be traced here.
#[must_use]
pub fn available() -> bool {
    let mut command = std::process::Command::new("strace");
    command.args(["-o", "/dev/null", "true"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Returns the words that run a program under a trace which does not change its process ID.
pub(crate) fn tracer(file: &Path) -> Vec<OsString> {
    let words = [
        "strace", "-D", "-f", "-ttt", "-T", "-y", "-s", "0", "-e", TRACED, "-o",
    ];
    let words = words.iter().map(OsString::from);
    words.chain([file.into()]).collect()
}

/// Returns the time since the beginning of 1970.
pub(crate) fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Finds out whether each request was flushed before its response. Writes to the file `log`, the
/// output of the processes, do not count.
#[must_use]
pub fn between(trace: &str, windows: &[Window], log: &Path) -> Flushes {
    let calls = calls(trace);
    let log = log.display().to_string();
    let mut synchronous = HashSet::new();
    let (mut flushed, mut written) = (vec![false; windows.len()], None);
    let mut io_uring = false;
    for call in &calls {
        io_uring |= call.name == "io_uring_enter";
        if let Some(file) = call.opened_synchronously() {
            synchronous.insert(file);
        }
        let file = call.file().filter(|file| *file != log);
        let inside = |window: &Window| window.sent <= call.begun && call.ended <= window.received;
        let Some(index) = windows.iter().position(inside) else {
            continue;
        };
        if call.flushes(file.is_some_and(|file| synchronous.contains(file))) {
            flushed[index] = true;
        } else if let Some(file) = file.filter(|_| call.writes()) {
            written = Some(file.to_owned());
        }
    }
    let requests = flushed.iter().filter(|flushed| !**flushed).count();
    match written {
        _ if requests == 0 => Flushes::All,
        Some(file) => Flushes::Missing { requests, file },
        None if requests < windows.len() => Flushes::Missing {
            requests,
            file: "a file".to_owned(),
        },
        None => Flushes::Unseen { io_uring },
    }
}

/// Parses the lines of a trace, in the order in which the calls ended.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut unfinished = HashMap::new();
    let lines = trace.lines();
    lines
        .filter_map(|line| {
            let (process, rest) = line.trim_start().split_once(' ')?;
            let (time, text) = rest.trim_start().split_once(' ')?;
            let time = seconds(time)?;
            if let Some(resumed) = text.strip_prefix("<... ") {
                let (name, arguments, begun) = unfinished.remove(process)?;
                return Some(Call {
                    name,
                    arguments,
                    begun,
                    ended: time,
                    succeeded: succeeded(resumed),
                });
            }
            let (name, arguments) = text.split_once('(')?;
            if let Some(begin) = arguments.strip_suffix("<unfinished ...>") {
                unfinished.insert(process, (name, begin, time));
                return None;
            }
            let took = text
                .rsplit_once('<')
                .map(|(_, took)| took.trim_end_matches('>'));
            Some(Call {
                name,
                arguments,
                begun: time,
                ended: time + took.and_then(seconds).unwrap_or_default(),
                succeeded: succeeded(text),
            })
        })
        .collect()
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether the result of a call is not an error.
fn succeeded(text: &str) -> bool {
    let result = text.rsplit_once(" = ").map(|(_, result)| result);
    result.is_some_and(|result| result.starts_with(|first: char| first.is_ascii_digit()))
}

// === impl Call ===

impl<'a> Call<'a> {
    /// The regular file of the first argument, which is printed as `7</path>`.
    fn file(&self) -> Option<&'a str> {
        let (_, path) = self.arguments.split_once('<')?;
        let (path, _) = path.split_once('>')?;
        let special = ["/dev/", "/proc/", "/sys/"];
        let regular = path.starts_with('/') && !special.iter().any(|it| path.starts_with(it));
        regular.then_some(path)
    }

    fn writes(&self) -> bool {
        self.succeeded && (self.name.starts_with("write") || self.name.starts_with("pwrite"))
    }

    /// Whether the call returns only after written data are durable; `synchronous` says so of its
    /// file.
    fn flushes(&self, synchronous: bool) -> bool {
        let has = |flag: &str| self.arguments.contains(flag);
        self.succeeded
            && match self.name {
                "fsync" | "fdatasync" | "sync" | "syncfs" => true,
                "msync" => has("MS_SYNC"),
                "pwritev2" => synchronous || has("RWF_DSYNC") || has("RWF_SYNC"),
                _ => synchronous && self.writes(),
            }
    }

    /// The file that this call opens for synchronous writes: the result is printed as `= 7</path>`.
    fn opened_synchronously(&self) -> Option<&'a str> {
        let opens = self.name.starts_with("open") && self.succeeded;
        let flags = self.arguments.contains("O_DSYNC") || self.arguments.contains("O_SYNC");
        let (_, result) = self
            .arguments
            .rsplit_once(" = ")
            .filter(|_| opens && flags)?;
        let (_, path) = result.split_once('<')?;
        path.split_once('>').map(|(path, _)| path)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Flushes, Window, between};

    /// Requests in the seconds 10 to 11 and 20 to 21.
    fn found(trace: &str) -> Flushes {
        let window = |begin| Window {
            sent: Duration::from_secs(begin),
            received: Duration::from_secs(begin + 1),
        };
        between(trace, &[window(10), window(20)], Path::new("/t/log"))
    }

    fn missing(requests: usize, file: &str) -> Flushes {
        let file = file.to_owned();
        Flushes::Missing { requests, file }
    }

    #[test]
    fn flushes_count_only_between_request_and_response() {
        let both = "7 10.100000 pwrite64(4</d/x>, \"\"..., 9, 0) = 9 <0.000010>\n\
                    7 10.200000 fdatasync(4</d/x>) = 0 <0.300000>\n\
                    8 20.100000 fsync(4</d/x> <unfinished ...>\n\
                    7 20.200000 write(1</t/log>, \"\"..., 5) = 5 <0.000010>\n\
                    8 20.900000 <... fsync resumed>) = 0 <0.800000>\n";
        assert_eq!(found(both), Flushes::All);
        let late = both.replace("20.900000", "21.100000");
        assert_eq!(found(&late), missing(1, "/d/x"));
        let early = both.replace("10.200000", "09.900000");
        assert_eq!(found(&early), missing(1, "/d/x"));
        let failed = both.replace("fdatasync(4</d/x>) = 0", "fdatasync(4</d/x>) = -1 EIO");
        assert_eq!(found(&failed), missing(1, "/d/x"));
    }

    #[test]
    fn synchronous_writes_are_flushes() {
        let open = "7 9.000000 openat(AT_FDCWD, \"d\", O_RDWR|O_DSYNC) = 4</d/x> <0.000010>\n";
        let writes = "7 10.100000 write(4</d/x>, \"\"..., 9) = 9 <0.000010>\n\
                      7 20.100000 writev(4</d/x>, [], 1) = 9 <0.000010>\n";
        assert_eq!(found(&format!("{open}{writes}")), Flushes::All);
        assert_eq!(found(writes), missing(2, "/d/x"));
    }

    #[test]
    fn processes_without_files_prove_nothing() {
        let sockets = "7 10.100000 write(4<socket:[9]>, \"\"..., 9) = 9 <0.000010>\n\
                       7 10.200000 write(2</t/log>, \"\"..., 9) = 9 <0.000010>\n";
        assert_eq!(found(sockets), Flushes::Unseen { io_uring: false });
        let ring = "7 10.100000 io_uring_enter(4<anon_inode:[io_uring]>, 1) = 1 <0.000010>\n";
        assert_eq!(found(ring), Flushes::Unseen { io_uring: true });
    }
}
