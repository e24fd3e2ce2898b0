//! What is printed instead of starting.

use std::fmt;

use standalone::redacted;

/// Help, the version, or one line about what is wrong with the arguments.
#[derive(Debug)]
pub(crate) struct Usage {
    text: String,
    failed: bool,
}

impl Usage {
    /// Whether the arguments were wrong; else the text is what was asked for.
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
        // What is wrong is in the first paragraph; the rest repeats the help.
        let lines = text.lines().take_while(|line| !line.trim().is_empty());
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        // It repeats what was typed, which may be a connection string at the wrong place.
        let wrong = redacted(&words.join(" "));
        let text = format!("{wrong} (--help tells what there is)\n");
        Self { text, failed }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
