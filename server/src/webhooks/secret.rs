//! Signing secrets, and the vault in which they lie.
//!
//! A secret is `whsec_` and the base64 of 32 random bytes, as Standard Webhooks writes them. Unlike a password it must be
//! read back to sign, so the database holds it encrypted: a byte 1, a nonce of 24, then XChaCha20-Poly1305 of the text,
//! bound to the endpoint's id. The key is `secrets.key`, or a file of the same name in the data directory.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::auth::random;
use crate::config::{Config, SECRETS_KEY_BYTES, Secrets, parse_secrets_key};
use crate::key_file::{KeyFile, KeyFileError};

const PREFIX: &str = "whsec_";

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// The only layout there is of a sealed secret.
const LAYOUT: u8 = 1;

const NONCE_BYTES: usize = 24;

/// Longest key file, bytes.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file holds something else.
    #[error("key of secrets {path}: must be 32 bytes as 64 hex digits")]
    Form {
        /// The file.
        path: String,
    },
}

/// A sealed secret cannot be read: another key sealed it, or it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret of a webhook cannot be read; was `secrets.key` changed? `rotate-secret` makes a new one")]
pub struct Unreadable;

/// A secret that signs.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    text: String,
    bytes: Vec<u8>,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

impl SigningSecret {
    /// A fresh one.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn generate() -> Result<Self, rand::rngs::SysError> {
        let bytes = random::bytes::<SECRET_BYTES>()?;
        Ok(Self { text: format!("{PREFIX}{}", STANDARD.encode(bytes)), bytes: bytes.to_vec() })
    }

    /// Reads `whsec_…`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        Some(Self { text: text.to_owned(), bytes })
    }

    /// The whole text: what its owner is shown, and the key of the published header.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes behind the prefix: the key of the Standard Webhooks header.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Seals secrets and opens them.
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

impl Vault {
    /// With the configured key, or that of the file, which is made if it is not there.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(config: &Config) -> Result<Self, KeyError> {
        let key = match config.secrets.key.as_ref().and_then(|key| parse_secrets_key(key.reveal())) {
            Some(key) => key,
            None => key(config)?,
        };
        Ok(Self { cipher: XChaCha20Poly1305::new(&key.into()) })
    }

    /// Encrypts a secret of an endpoint.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn seal(&self, webhook_id: &str, secret: &SigningSecret) -> Result<Vec<u8>, rand::rngs::SysError> {
        let nonce = random::bytes::<NONCE_BYTES>()?;
        let message = Payload { msg: secret.text.as_bytes(), aad: webhook_id.as_bytes() };
        // It fails for messages of hundreds of gigabytes alone.
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), message).unwrap_or_default();
        Ok([&[LAYOUT][..], &nonce, &sealed].concat())
    }

    /// Decrypts a secret of an endpoint.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn unseal(&self, webhook_id: &str, sealed: &[u8]) -> Result<SigningSecret, Unreadable> {
        let rest = sealed.strip_prefix(&[LAYOUT]).ok_or(Unreadable)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Unreadable)?;
        let message = Payload { msg: sealed, aad: webhook_id.as_bytes() };
        let text = self.cipher.decrypt(&XNonce::from(*nonce), message).map_err(|_| Unreadable)?;
        let text = String::from_utf8(text).map_err(|_| Unreadable)?;
        SigningSecret::parse(&text).ok_or(Unreadable)
    }
}

/// The key of the file.
fn key(config: &Config) -> Result<[u8; SECRETS_KEY_BYTES], KeyError> {
    let path = Secrets::file(&config.storage.data_dir);
    let file = KeyFile { what: "key of secrets", path, bytes_max: KEY_FILE_BYTES_MAX };
    let text = file.read_or_create(|| {
        let key = hex::encode(random::bytes::<SECRETS_KEY_BYTES>()?);
        Ok(format!(
            "# Encrypts the secrets of webhooks in the control database. Without it they cannot be read.\n{key}\n"
        ))
    })?;
    let line = text.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    parse_secrets_key(line).ok_or_else(|| KeyError::Form { path: file.name() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Secret;

    fn config(dir: &tempfile::TempDir) -> Config {
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        config
    }

    #[test]
    fn a_secret_is_whsec_and_32_bytes_in_base64() {
        let secret = SigningSecret::generate().unwrap();
        assert!(secret.text().starts_with("whsec_") && secret.text().len() == 6 + 44, "{}", secret.text());
        assert_eq!(secret.bytes().len(), 32);
        assert_eq!(SigningSecret::parse(secret.text()), Some(secret.clone()));
        assert_ne!(SigningSecret::generate().unwrap(), secret);
        assert!(!format!("{secret:?}").contains(secret.text()));
    }

    #[test]
    fn a_sealed_secret_is_read_back_with_its_key_and_its_endpoint_alone() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&config(&dir)).unwrap();
        let secret = SigningSecret::generate().unwrap();
        let sealed = vault.seal("whk_1", &secret).unwrap();
        assert!(!sealed.windows(12).any(|part| secret.text().as_bytes().windows(12).any(|clear| clear == part)));
        assert_eq!(vault.unseal("whk_1", &sealed), Ok(secret.clone()));
        assert_ne!(vault.seal("whk_1", &secret).unwrap(), sealed, "a nonce is used once");
        assert_eq!(vault.unseal("whk_2", &sealed), Err(Unreadable));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault.unseal("whk_1", &changed), Err(Unreadable), "byte {at}");
        }
        for len in [0, 1, 24, 25, sealed.len() - 1] {
            assert_eq!(vault.unseal("whk_1", &sealed[..len]), Err(Unreadable));
        }
        let again = Vault::open(&config(&dir)).unwrap();
        assert_eq!(again.unseal("whk_1", &sealed), Ok(secret));
        let mut other = config(&dir);
        other.secrets.key = Some(Secret::new("00".repeat(32)));
        assert_eq!(Vault::open(&other).unwrap().unseal("whk_1", &sealed), Err(Unreadable));
    }

    #[test]
    fn a_bad_key_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        Vault::open(&config).unwrap();
        let path = Secrets::file(&config.storage.data_dir);
        std::fs::write(&path, "# nothing\nabc\n").unwrap();
        assert!(matches!(Vault::open(&config), Err(KeyError::Form { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Vault::open(&config), Err(KeyError::File(KeyFileError::Open { .. }))));
    }
}
