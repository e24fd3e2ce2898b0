//! Password files, as libpq's `.pgpass`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Directories of unix sockets that libpq was built with. Their entries have the host `localhost`.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Bits of a file's mode that give others access.
const OTHERS: u32 = 0o077;

/// Whether a password file exists, but may be read by others. It is not used then, as in libpq.
pub(crate) fn is_exposed(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & OTHERS != 0)
}

/// Returns the password for the host of a configuration; `None` without a file or an entry.
pub(crate) fn password(path: &Path, config: &Config) -> Option<String> {
    if is_exposed(path) {
        return None;
    }
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(folder)) => {
            let folder = folder.display().to_string();
            let default = SOCKET_FOLDERS.contains(&folder.as_str());
            if default {
                "localhost".to_owned()
            } else {
                folder
            }
        }
        None => config.get_hostaddrs().first()?.to_string(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let wanted = [
        host,
        port.to_string(),
        config.get_dbname()?.to_owned(),
        config.get_user()?.to_owned(),
    ];
    find(&std::fs::read_to_string(path).ok()?, &wanted)
}

/// Returns the password of the first line that matches host, port, database and role.
fn find(text: &str, wanted: &[String; 4]) -> Option<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.into_iter().find_map(|line| {
        let mut rest = line;
        for field in wanted {
            let (given, after) = split(rest)?;
            if given != "*" && unescape(given) != *field {
                return None;
            }
            rest = after;
        }
        Some(unescape(rest))
    })
}

/// Splits off the field before the next unescaped colon.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Removes the backslash before each escaped character.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn first_matching_line_has_the_password() {
        let text = "# db:5432:store:ark:comment\n\
                    db:5432:store\n\
                    other:5432:store:ark:other\n\
                    db:6000:*:ark:by port\n\
                    a\\:b:*:*:*:escaped \\\\ \\: end\n\
                    \\*:5432:store:ark:literal\n\
                    db:5432:store:ark:first\n\
                    *:*:*:*:any:colon\n";
        for (host, port, expected) in [
            ("db", "5432", "first"),
            ("db", "6000", "by port"),
            ("a:b", "5432", "escaped \\ : end"),
            ("*", "5432", "literal"),
            ("elsewhere", "5432", "any:colon"),
        ] {
            let wanted = [host, port, "store", "ark"].map(str::to_owned);
            let found = find(text, &wanted);
            // The password is unescaped like the fields.
            assert_eq!(found.as_deref(), Some(expected), "{host}:{port}");
        }
        let wanted = ["db", "1", "store", "ark"].map(str::to_owned);
        assert_eq!(find("db:5432:store:ark:x", &wanted), None);
    }
}
