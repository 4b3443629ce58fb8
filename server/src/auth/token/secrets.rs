//! The file of signing secrets: one `kid:secret` a line, the newest first.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::random;
use crate::config::parse_secret;

/// Longest file of secrets, bytes.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// The secrets cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file could not be read or made.
    #[error("signing secrets {path}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The file says something else than `kid:secret`.
    #[error("signing secrets {path}, line {line}: {what}")]
    Line {
        /// The file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two secrets have the same kid.
    #[error("two signing secrets have the kid `{kid}`")]
    Twice {
        /// The kid.
        kid: String,
    },
    /// The file can be read by others.
    #[error("signing secrets {path} can be read by others; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: String,
    },
    /// There is none.
    #[error("signing secrets {path}: the file is empty")]
    Empty {
        /// The file.
        path: String,
    },
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Random(#[from] rand::rngs::SysError),
}

/// Reads the file of secrets; makes it with one fresh secret if it is not there.
pub(super) fn read_or_create(path: &Path) -> Result<Vec<String>, SecretError> {
    let name = || path.display().to_string();
    let io = |source| SecretError::Io { path: name(), source };
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            create(path)?;
            OpenOptions::new().read(true).open(path).map_err(io)?
        }
        Err(error) => return Err(io(error)),
    };
    if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(SecretError::Open { path: name() });
    }
    let mut text = String::new();
    file.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
    let mut lines = Vec::new();
    for (nth, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        parse_secret(line).map_err(|what| SecretError::Line { path: name(), line: nth + 1, what })?;
        lines.push(line.to_owned());
    }
    if lines.is_empty() { Err(SecretError::Empty { path: name() }) } else { Ok(lines) }
}

/// Makes the file whole or not at all: written and synced under another name, then linked, so that of two processes
/// that start together one wins and both read the same secret.
fn create(path: &Path) -> Result<(), SecretError> {
    let io = |source| SecretError::Io { path: path.display().to_string(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(io)?;
    let kid = random::base62("", 8)?;
    let secret = URL_SAFE_NO_PAD.encode(random::bytes::<48>()?);
    let draft = path.with_file_name(random::base62(".jwt.secret.", 8)?);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        writeln!(file, "# Signs access tokens. One `kid:secret` a line, the newest first: it signs, all verify.")?;
        writeln!(file, "{kid}:{secret}")?;
        file.sync_all()
    });
    let linked = written.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&draft);
    linked.and(removed).map_err(io)?;
    std::fs::File::open(parent).and_then(|directory| directory.sync_all()).map_err(io)
}
