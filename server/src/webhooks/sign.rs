//! What proves to a receiver that a request comes from here.
//!
//! Two signatures, side by side:
//!
//! - `X-AVYCENNA-Signature: sha256=<hex>`, HMAC-SHA256 of the body, the whole `whsec_…` string being the key. It says
//!   nothing of when it was made, so it cannot stop a replay.
//! - The headers of [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks): `webhook-id` (the event's,
//!   the same at every try), `webhook-timestamp` (of the try) and `webhook-signature`, `v1,<base64>` of HMAC-SHA256 over
//!   `id.timestamp.body`, the bytes behind `whsec_` being the key; two of them while an old secret is good.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::SigningSecret;

/// The headers of a request, beside its content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// `X-AVYCENNA-Signature`.
    pub(crate) published: String,
    /// `webhook-timestamp`: seconds since 1970.
    pub(crate) timestamp: String,
    /// `webhook-signature`.
    pub(crate) standard: String,
}

/// Signs a body with the newest secret, and for Standard Webhooks with the one before as well.
pub(crate) fn sign(
    secret: &SigningSecret,
    old: Option<&SigningSecret>,
    event_id: &str,
    now_us: i64,
    body: &str,
) -> Signature {
    let timestamp = now_us.div_euclid(1_000_000).to_string();
    let published = format!("sha256={}", hex::encode(mac(secret.text().as_bytes(), &[body])));
    let standard = [Some(secret), old].into_iter().flatten().map(|secret| {
        let parts = [event_id, ".", timestamp.as_str(), ".", body];
        format!("v1,{}", STANDARD.encode(mac(secret.bytes(), &parts)))
    });
    let standard = standard.collect::<Vec<_>>().join(" ");
    Signature { published, timestamp, standard }
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn mac(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signatures_are_those_that_other_programs_compute() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let made = sign(&secret, None, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_999_999, body);
        assert_eq!(made.timestamp, "1614265330");
        // From Python's hmac over the same bytes.
        assert_eq!(made.published, "sha256=671b76c2d58a62513aaa8a8fe1d4cd9543d0b41da43a029ff6f2f85e44890d28");
        assert_eq!(made.standard, "v1,455+aOk04wwxufzYeT7AdJGy67Jm9L1UV9h0WvJANVo=");
        let old = SigningSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let both = sign(&secret, Some(&old), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_999_999, body);
        assert_eq!(both.published, made.published);
        let (first, second) = both.standard.split_once(' ').unwrap();
        assert_eq!(first, made.standard);
        assert!(second.starts_with("v1,") && second != first, "{second}");
    }
}
