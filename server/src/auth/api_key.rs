//! API keys: `avk_` and forty base62 characters, of which only the SHA-256 is stored.
//!
//! 238 random bits need no salt and no slow hash: nobody can try them all.

use rand::rngs::SysError;
use sha2::{Digest, Sha256};

use super::random;

const PREFIX: &str = "avk_";
const RANDOM_CHARACTERS: usize = 40;

/// Characters of a key that its owner sees again: the prefix and eight more.
const SHOWN: usize = 12;

/// A fresh key.
///
/// # Errors
/// The operating system has no randomness to give.
pub(super) fn generate() -> Result<String, SysError> {
    random::base62(PREFIX, RANDOM_CHARACTERS)
}

/// What is stored of a key; `None` for what cannot be one, which spares the look-up.
pub(super) fn hash(key: &str) -> Option<[u8; 32]> {
    let rest = key.strip_prefix(PREFIX)?;
    let is_plausible = rest.len() == RANDOM_CHARACTERS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plausible.then(|| Sha256::digest(key.as_bytes()).into())
}

/// By what its owner knows a key again.
pub(super) fn shown(key: &str) -> &str {
    key.get(..SHOWN).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_has_a_hash_and_a_prefix() {
        let key = generate().unwrap();
        assert_eq!(key.len(), 44);
        assert!(hash(&key).is_some());
        assert!(key.starts_with(shown(&key)) && shown(&key).len() == 12);
    }

    #[test]
    fn what_cannot_be_a_key_has_no_hash() {
        let key = generate().unwrap();
        for other in ["", "avk_", &key[1..], &key[..43], &format!("{key}x"), &key.replace("avk_", "xvk_"), "avk_ü"] {
            assert_eq!(hash(other), None, "{other}");
        }
    }
}
