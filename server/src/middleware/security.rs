//! Headers that keep browsers from doing harm with an answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const STATIC: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Adds what is missing: an answer loads nothing and is kept by nobody, unless its route said otherwise.
pub fn secure(headers: &mut HeaderMap) {
    for (name, value) in STATIC {
        headers.insert(name, value);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
}
