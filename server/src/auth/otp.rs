//! One-time codes: six digits by mail, stored as a keyed hash.
//!
//! A plain hash of six digits could be undone by trying all of them, so the hash is keyed with what only the server
//! knows. Rows exist for addresses with and without an account, so that sending and checking cost the same for both.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The key of the codes' hashes, derived from a signing secret; nothing signed with one tells about the other.
pub(super) fn code_key(signing_secret: &[u8]) -> [u8; 32] {
    mac(signing_secret, &[b"avycenna one-time codes"])
}

/// By what an address is found.
pub(super) fn email_hash(email: &str) -> Vec<u8> {
    Sha256::digest(email.as_bytes()).to_vec()
}

/// What is stored of a code.
pub(super) fn code_hash(key: &[u8; 32], email: &str, code: &str) -> Vec<u8> {
    mac(key, &[email.as_bytes(), b"\0", code.as_bytes()]).to_vec()
}

/// Whether a code is the stored one. Takes the same time wherever they differ.
pub(super) fn matches(key: &[u8; 32], email: &str, code: &str, stored: &[u8]) -> bool {
    Hmac::<Sha256>::new_from_slice(key).is_ok_and(|mut mac| {
        mac.update(email.as_bytes());
        mac.update(b"\0");
        mac.update(code.as_bytes());
        mac.verify_slice(stored).is_ok()
    })
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is taken, so the error arm is never reached; an empty MAC would match nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_matches_itself_for_its_address_and_key() {
        let key = code_key(b"secret");
        let stored = code_hash(&key, "a@example.org", "012345");
        assert!(matches(&key, "a@example.org", "012345", &stored));
        assert!(!matches(&key, "a@example.org", "012346", &stored));
        assert!(!matches(&key, "b@example.org", "012345", &stored));
        assert!(!matches(&code_key(b"other"), "a@example.org", "012345", &stored));
        assert!(!matches(&key, "a@example.org", "012345", &[]));
    }
}
