//! The file of signing secrets: one `kid:secret` a line, the newest first.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::random;
use crate::config::parse_secret;
use crate::key_file::{KeyFile, KeyFileError};

/// Longest file of secrets, bytes.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// The secrets cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
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
    /// There is none.
    #[error("signing secrets {path}: the file is empty")]
    Empty {
        /// The file.
        path: String,
    },
}

/// Reads the file of secrets; makes it with one fresh secret if it is not there.
pub(super) fn read_or_create(path: &Path) -> Result<Vec<String>, SecretError> {
    let file = KeyFile { what: "signing secrets", path: path.to_path_buf(), bytes_max: SECRET_FILE_BYTES_MAX };
    let text = file.read_or_create(|| {
        let kid = random::base62("", 8)?;
        let secret = URL_SAFE_NO_PAD.encode(random::bytes::<48>()?);
        let what = "# Signs access tokens. One `kid:secret` a line, the newest first: it signs, all verify.";
        Ok(format!("{what}\n{kid}:{secret}\n"))
    })?;
    let mut lines = Vec::new();
    for (nth, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        parse_secret(line).map_err(|what| SecretError::Line { path: file.name(), line: nth + 1, what })?;
        lines.push(line.to_owned());
    }
    if lines.is_empty() { Err(SecretError::Empty { path: file.name() }) } else { Ok(lines) }
}
