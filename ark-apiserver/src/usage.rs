//! Text that is printed instead of starting the server.

use std::fmt;

use standalone::redacted;

/// Help, the version, or one line about invalid arguments.
#[derive(Debug)]
pub(crate) struct Usage {
    text: String,
    failed: bool,
}

impl Usage {
    /// Whether the arguments were invalid. Otherwise the text is requested help or the version.
    #[must_use]
    pub(crate) const fn failed(&self) -> bool {
        self.failed
    }
}

impl From<clap::Error> for Usage {
    fn from(error: clap::Error) -> Self {
        let failed = error.use_stderr();
        let text = error.render().to_string();
        if !failed {
            return Self { text, failed };
        }
        // The first paragraph states the error; the rest repeats the help.
        let lines = text.lines().take_while(|line| !line.trim().is_empty());
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        // clap quotes arguments, and one may be a connection string passed to the wrong flag.
        let wrong = redacted(&words.join(" "));
        let text = format!("{wrong} (see --help)\n");
        Self { text, failed }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
