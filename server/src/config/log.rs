//! `[log]`: what is logged, and how it looks.

use serde::{Deserialize, Serialize};

use super::Flaw;

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or filters such as `info,storage=debug`.
    pub level: String,
    /// Lines for people or for machines.
    pub format: Format,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

impl Log {
    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        match tracing_subscriber::EnvFilter::try_new(&self.level) {
            Ok(_) if !self.level.trim().is_empty() => Ok(()),
            _ => Err(Flaw::new("level", "must be a level or a list of `target=level`")),
        }
    }
}
