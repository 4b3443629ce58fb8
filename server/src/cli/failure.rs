//! Why a command failed: the message for the person, the code for the script.

use std::error::Error;
use std::path::PathBuf;

use super::Terminal;
use crate::webhooks::outbox;
use crate::{auth, config, control};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line itself, or a question for help or the version.
    #[error("{0}")]
    Usage(clap::Error),
    /// An argument that parses but cannot be.
    #[error("{0}")]
    Argument(&'static str),
    /// The configuration.
    #[error("configuration: {0}")]
    Config(#[from] config::Error),
    /// The control database.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// Accounts and keys.
    #[error(transparent)]
    Auth(#[from] auth::AuthError),
    /// Signing secrets.
    #[error(transparent)]
    Secrets(#[from] auth::OpenError),
    /// The points.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The data directory cannot be used.
    #[error("data directory {}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no data directory where one was looked for.
    #[error(
        "no data directory at {}: say where the server's is with --data-dir or AVYCENNA_STORAGE_DATA_DIR; \
         `avycenna serve` makes one",
        path.display()
    )]
    NoDataDir {
        /// Where.
        path: PathBuf,
    },
    /// The server stopped on an error.
    #[error("the server stopped")]
    Serve(#[source] Box<dyn Error + Send + Sync>),
    /// Events could not be written down.
    #[error(transparent)]
    Outbox(#[from] outbox::Error),
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of public keys is not taken.
    #[error("public keys {}", path.display())]
    Keys {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: crate::fhir::smart::jwks::Fault,
    },
    /// No such user, key, webhook or client.
    #[error("no such {what}: {name}")]
    Unknown {
        /// `user`, `key`, `webhook` or `SMART client`.
        what: &'static str,
        /// As given.
        name: String,
    },
    /// `verify` found damage.
    #[error("{pieces} damaged; `avycenna repair` says what would be lost")]
    Damaged {
        /// Pieces of damage.
        pieces: usize,
    },
    /// `verify` found trails of reads that are not as they were written.
    #[error("{trails} trails of reads are not as they were written; compare with a backup")]
    Tampered {
        /// Trails that are broken.
        trails: usize,
    },
    /// `repair` left damage.
    #[error("{pieces} still damaged")]
    StillDamaged {
        /// Pieces of damage.
        pieces: usize,
    },
    /// `verify --erased` found somebody.
    #[error("still there, in {places} places; `avycenna compact` finishes what is open")]
    StillThere {
        /// Places that were found.
        places: usize,
    },
    /// An erasure could not be finished.
    #[error("an erasure is not finished")]
    Erasure(#[from] crate::erasure::ErasureError),
    /// The mail file cannot be used.
    #[error("mail")]
    Mail(#[from] crate::mail::MailError),
    /// A file was not imported.
    #[error("import")]
    Import(#[from] super::import::ImportError),
    /// Files were not imported to their end.
    #[error("{files} of the files were not read to their end")]
    Incomplete {
        /// How many.
        files: usize,
    },
    /// No runtime.
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    /// The terminal or pipe cannot be read.
    #[error("read standard input")]
    Input(#[source] std::io::Error),
    /// `files --check` found files of level 0.
    #[error("files overlap; `avycenna compact` makes each point lie in one")]
    Overlapping,
    /// A server was not reached.
    #[error("ask the server")]
    Ask(#[source] reqwest::Error),
    /// A server has refused; with its words.
    #[error("{0}")]
    Refused(String),
    /// The shell's line cannot be edited.
    #[error("read a line")]
    Editor(#[source] rustyline::error::ReadlineError),
    /// The terminal or pipe cannot be written.
    #[error("write standard output")]
    Output(#[source] std::io::Error),
    /// The log cannot be set up.
    #[error("set up the log: {0}")]
    Log(String),
}

impl Failure {
    /// What the process ends with.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(error) if !error.use_stderr() => 0,
            Self::Usage(_) | Self::Argument(_) | Self::Config(_) | Self::Keys { .. } => 2,
            Self::Storage(error) if error.kind() == storage::ErrorKind::Fenced => 3,
            Self::Serve(error) if is_fenced(&**error) => 3,
            Self::Damaged { .. } | Self::Tampered { .. } | Self::StillDamaged { .. } => 4,
            Self::Unknown { .. } => 5,
            Self::StillThere { .. } => 6,
            Self::Incomplete { .. } => 7,
            _ => 1,
        }
    }

    /// Writes the message with its causes.
    pub(super) fn tell(&self, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
        match self {
            Self::Usage(error) if !error.use_stderr() => write!(terminal.out, "{error}"),
            Self::Usage(error) => write!(terminal.err, "{error}"),
            _ => {
                write!(terminal.err, "avycenna: {self}")?;
                let mut shown = self.to_string();
                let mut cause = self.source();
                while let Some(error) = cause {
                    let text = error.to_string();
                    // Some libraries repeat their cause in their own message.
                    if !shown.contains(&text) {
                        write!(terminal.err, ": {text}")?;
                    }
                    shown = text;
                    cause = error.source();
                }
                writeln!(terminal.err)
            }
        }
    }
}

/// Whether another process has the data directory, however deep the error says so.
fn is_fenced(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(crate::serve::Error::InUse { .. }) = error.downcast_ref() {
            return true;
        }
        let storage = match error.downcast_ref::<engine::Error>() {
            Some(engine::Error::Storage(error)) => Some(error),
            _ => error.downcast_ref::<storage::Error>(),
        };
        if let Some(storage) = storage {
            return storage.kind() == storage::ErrorKind::Fenced;
        }
        cause = error.source();
    }
    false
}
