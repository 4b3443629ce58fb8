//! Verifies a webhook in Rust, with the crates `hmac`, `sha2`, `hex` and `base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// By how much the sender's clock may differ from ours, and how long a request may have been on its way, seconds.
const TOLERANCE_S: u64 = 5 * 60;

/// Whether `body`, byte by byte as it came, was signed with `secret`, the whole `whsec_…`: by `X-AVYCENNA-Signature`.
///
/// It says nothing of when: remember the event's id, or ask [`is_fresh`] as well.
pub fn is_genuine(secret: &str, body: &[u8], header: &str) -> bool {
    let Some(given) = header.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok()) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(body);
    // In constant time.
    mac.verify_slice(&given).is_ok()
}

/// Whether the request was signed within the last minutes: by `webhook-id`, `webhook-timestamp` and `webhook-signature`.
/// `now_s` is the time now, seconds since 1970.
pub fn is_fresh(secret: &str, body: &[u8], (id, timestamp, signatures): (&str, &str, &str), now_s: u64) -> bool {
    let Ok(sent_s) = timestamp.parse::<u64>() else { return false };
    if now_s.abs_diff(sent_s) > TOLERANCE_S {
        return false;
    }
    let Some(key) = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok()) else { return false };
    // While a secret is changed there are two signatures.
    signatures.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok()).any(|given| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return false };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac.verify_slice(&given).is_ok()
    })
}
