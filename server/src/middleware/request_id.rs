//! `X-Request-Id`: what client and log call a request by.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header's name.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client or a proxy.
pub const BYTES_MAX: usize = 64;

/// Makes ids: unlikely to repeat between processes, never inside one.
#[derive(Debug)]
pub struct RequestIds {
    seed: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// A sequence of its own.
    pub fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    /// The id of a request: its own, if it is 1 to [`BYTES_MAX`] of `[A-Za-z0-9._-]`, or a fresh one.
    pub fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(&HEADER) {
            Some(value) if is_sane(value.as_bytes()) => value.clone(),
            _ => self.fresh(),
        }
    }

    fn fresh(&self) -> HeaderValue {
        let number = self.seed ^ mixed(self.count.fetch_add(1, Ordering::Relaxed));
        let mut text = String::with_capacity(16);
        // Writing into memory cannot fail.
        let _ = write!(text, "{number:016x}");
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
    }
}

fn is_sane(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(allowed)
}

/// A bijection on 64 bits (SplitMix64's), so that different counts never give the same id.
fn mixed(count: u64) -> u64 {
    let mixed = (count ^ (count >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let ids = RequestIds::new(1);
        let of = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(id).unwrap());
            ids.of(&headers)
        };
        assert_eq!(of("abc-1.2_3"), "abc-1.2_3");
        for strange in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert_eq!(of(strange).len(), 16, "{strange}");
        }
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
