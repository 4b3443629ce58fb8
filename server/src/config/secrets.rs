//! `[secrets]`: the key under which secrets lie in the control database that must be read back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Flaw, Secret};

/// Bytes of a key.
pub const SECRETS_KEY_BYTES: usize = 32;

/// The key, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// 32 bytes as 64 hex digits. Without it the file `secrets.key` in the data directory, made at the first start.
    /// Servers that share a control database need the same one.
    pub key: Option<Secret>,
}

impl Secrets {
    /// The file of the key, where there is no other.
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("secrets.key")
    }

    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        match &self.key {
            Some(key) if parse_secrets_key(key.reveal()).is_none() => {
                Err(Flaw::new("key", "must be 32 bytes as 64 hex digits; `openssl rand -hex 32` makes one"))
            }
            _ => Ok(()),
        }
    }
}

/// The bytes of a key.
pub fn parse_secrets_key(text: &str) -> Option<[u8; SECRETS_KEY_BYTES]> {
    hex::decode(text.trim()).ok()?.try_into().ok()
}
