//! `[control]`: the database of people, keys and sessions.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Flaw, SecretUrl};

/// Where the control database is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// `sqlite:PATH` or `postgres://user:password@host/database`; without it `control.db` in the data directory.
    pub database_url: Option<SecretUrl>,
    /// Most connections to it.
    pub connections_max: u32,
    /// Longest wait for another process's write, or for a free connection, milliseconds.
    pub wait_ms_max: u64,
}

impl Default for Control {
    fn default() -> Self {
        Self { database_url: None, connections_max: 4, wait_ms_max: 5_000 }
    }
}

/// Which database, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(SecretUrl),
}

impl fmt::Display for Database {
    /// The file, or the URL without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&url.masked()),
        }
    }
}

impl Control {
    /// The database that is meant.
    pub fn database(&self, data_dir: &Path) -> Database {
        match &self.database_url {
            None => Database::Sqlite(data_dir.join("control.db")),
            Some(url) => match sqlite_path(url.reveal()) {
                Some(path) => Database::Sqlite(PathBuf::from(path)),
                None => Database::Postgres(url.clone()),
            },
        }
    }

    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if let Some(url) = &self.database_url {
            let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme));
            let is_sqlite = sqlite_path(url.reveal()).is_some_and(|path| !path.is_empty() && path != ":memory:");
            if !is_postgres && !is_sqlite {
                return Err(Flaw::new("database_url", "must be `sqlite:PATH` or `postgres://…`"));
            }
        }
        if !(1..=1_000).contains(&self.connections_max) {
            return Err(Flaw::new("connections_max", "must be between 1 and 1000"));
        }
        if self.wait_ms_max == 0 {
            return Err(Flaw::new("wait_ms_max", "must be at least 1"));
        }
        Ok(())
    }
}

/// The path of a `sqlite:` URL.
fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path))
}
