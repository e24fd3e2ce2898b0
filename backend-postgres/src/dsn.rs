//! Connection strings: libpq's URLs and its `key=value` form.
//!
//! tokio-postgres supports neither the stricter `sslmode`s nor their files. This module parses the
//! string, takes these parameters out, and passes the others on.

use std::collections::BTreeMap;

use tokio_postgres::Config;

use crate::error::Error;

/// A parsed connection string.
#[derive(Clone, Default)]
pub(crate) struct Dsn(BTreeMap<String, String>);

pub(crate) fn refuse(problem: &str) -> Error {
    Error::Refused(format!("connection to PostgreSQL: {problem}"))
}

impl Dsn {
    /// Parses a connection string. It may hold a password, so errors never quote it.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let url = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"));
        match url {
            Some(rest) => Self::url(rest),
            None if text.contains("://") => Err(refuse("a URL must begin with postgres://")),
            None => Self::pairs(text),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.to_owned());
    }

    /// Sets a parameter that is absent or empty.
    pub(crate) fn set_default(&mut self, key: &str, value: &str) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }

    /// Returns a parameter, unless it is absent or empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Removes and returns a parameter. An empty value counts as absent, as in libpq.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).filter(|value| !value.is_empty())
    }

    /// Returns the first key with a property.
    pub(crate) fn first_key(&self, wanted: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|key| wanted(key))
    }

    /// Converts the remaining parameters for tokio-postgres.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let mut text = String::new();
        for (key, value) in &self.0 {
            text.push_str(&format!("{key}='{}' ", quoted(value)));
        }
        text.parse().map_err(|error: tokio_postgres::Error| {
            let source = std::error::Error::source(&error);
            refuse(&source.map_or_else(|| error.to_string(), ToString::to_string))
        })
    }

    /// As [`Dsn::config`], one per host.
    pub(crate) fn hosts(&mut self) -> Result<Vec<Config>, Error> {
        // Without names, the addresses are the names for TLS.
        if let Some(addresses) = self.get("hostaddr").map(ToOwned::to_owned) {
            self.set_default("host", &addresses);
        }
        let count = self.get("host").map_or(0, |hosts| hosts.split(',').count());
        let hosts = 0..count;
        hosts
            .map(|place| self.host(place, count)?.config())
            .collect()
    }

    /// Selects the parameters of one host.
    fn host(&self, place: usize, count: usize) -> Result<Self, Error> {
        let mut one = self.clone();
        for key in ["host", "hostaddr", "port"] {
            let Some(list) = self.0.get(key) else {
                continue;
            };
            let values: Vec<&str> = list.split(',').collect();
            let value = match values.len() {
                // A single port applies to all hosts.
                1 if key == "port" => values[0],
                given if given == count => values[place],
                given => return Err(refuse(&format!("{key} names {given} of {count} hosts"))),
            };
            one.set(key, value);
        }
        Ok(one)
    }

    fn url(rest: &str) -> Result<Self, Error> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (login, hosts),
            None => ("", authority),
        };
        let mut dsn = Self::default();
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let mut hosts_only = Vec::new();
        let mut ports = Vec::new();
        for one in hosts.split(',').filter(|one| !one.is_empty()) {
            // An IPv6 address is in brackets.
            let (host, port) = match one.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => (host, port),
                _ => (one, ""),
            };
            hosts_only.push(decode(host.trim_start_matches('[').trim_end_matches(']'))?);
            ports.push(if port.is_empty() { "5432" } else { port });
        }
        if !hosts_only.is_empty() {
            dsn.set("host", &hosts_only.join(","));
            dsn.set("port", &ports.join(","));
        }
        for (key, value) in [
            ("user", Some(user)),
            ("password", password),
            ("dbname", Some(path)),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                dsn.set(key, &decode(value)?);
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| refuse("a parameter of the URL has no value"))?;
            match (decode(key)?.as_str(), decode(value)?.as_str()) {
                // As JDBC writes it.
                ("ssl", "true") => dsn.set("sslmode", "require"),
                (key, value) => dsn.set(key, value),
            }
        }
        Ok(dsn)
    }

    fn pairs(text: &str) -> Result<Self, Error> {
        let mut dsn = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (key, after) = rest
                .split_once('=')
                .ok_or_else(|| refuse("the text is neither a URL nor key=value"))?;
            let (value, after) = value(after.trim_start())?;
            dsn.set(key.trim(), &value);
            rest = after.trim_start();
        }
        Ok(dsn)
    }
}

/// Parses a value: up to a space, or quoted; a backslash escapes the next character. Returns it
/// with the rest of the text.
fn value(text: &str) -> Result<(String, &str), Error> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            space if !quoted && space.is_whitespace() => return Ok((value, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted {
        return Err(refuse("a quote is not closed"));
    }
    Ok((value, ""))
}

/// Decodes percent-encoding; a plus sign stands for itself.
fn decode(text: &str) -> Result<String, Error> {
    let malformed = || refuse("a part of the URL has an invalid percent-encoding");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = bytes.next().map(char::from);
            digit
                .and_then(|digit| digit.to_digit(16))
                .ok_or_else(malformed)
        };
        let code = digit()? * 16 + digit()?;
        let code = u8::try_from(code).map_err(|_| malformed())?;
        // A parameter cannot contain a zero byte.
        decoded.push(if code == 0 { Err(malformed())? } else { code });
    }
    String::from_utf8(decoded).map_err(|_| malformed())
}

#[cfg(test)]
impl std::fmt::Display for Dsn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<_> = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        formatter.write_str(&pairs.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::Dsn;
    use crate::parameters::complete;

    fn get(text: &str, key: &str) -> Option<String> {
        let mut dsn = Dsn::parse(text)
            .map_err(|error| error.to_string())
            .expect(text);
        dsn.take(key)
    }

    #[test]
    fn dsn_parses_url_and_key_value_forms() {
        let url =
            "postgresql://u:p%2Fq+@a:1,[::1]:2,%2Frun%2Fpg/d?sslmode=require&options=-c%20x+y";
        assert_eq!(get(url, "host").as_deref(), Some("a,::1,/run/pg"));
        assert_eq!(get(url, "port").as_deref(), Some("1,2,5432"));
        assert_eq!(get(url, "password").as_deref(), Some("p/q+"));
        assert_eq!(get(url, "options").as_deref(), Some("-c x+y"));
        let pairs = r" host = 'a b'  password='it\'s \\' dbname=x\ y user=u";
        assert_eq!(get(pairs, "host").as_deref(), Some("a b"));
        assert_eq!(get(pairs, "password").as_deref(), Some(r"it's \"));
        assert_eq!(get(pairs, "dbname").as_deref(), Some("x y"));
        assert_eq!(get(pairs, "user").as_deref(), Some("u"));
    }

    #[test]
    fn dsn_errors_never_quote_the_dsn() {
        for text in [
            "hush hush",
            "password='hush",
            "postgres://u:hush@h/d?hush%00=x",
            "postgres://u:%hush@h/d",
            "postgres://u@h/d?password=x&Hush=x",
        ] {
            let completed = Dsn::parse(text).and_then(|dsn| complete(dsn, &|_| None));
            let error = completed.map(drop).expect_err(text).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
