//! Who calls: what metadata says, as HTTP's headers would.
//!
//! | metadata                                | as                                        |
//! |-----------------------------------------|-------------------------------------------|
//! | `authorization: Bearer <JWT>`           | a person's access token                   |
//! | `authorization: Bearer avk_…`           | an API key, as the handshake answers it   |
//! | `authorization: Basic <any>:<avk_…>`    | an API key, as JDBC and ADBC send it      |
//! | `x-api-key: avk_…`                      | an API key                                |

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::{Request, Status};

use super::status::of_error;
use crate::access::Visitor;
use crate::middleware::address::client_of;
use crate::state::AppState;

/// How API keys begin.
const KEY_PREFIX: &str = "avk_";
const KEY_HEADER: &str = "x-api-key";
/// Go's driver leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// What rates are counted under.
const PATH: &str = "/flight";

/// Lets a caller in, or not.
///
/// # Errors
/// `UNAUTHENTICATED`, `PERMISSION_DENIED` for a key without the scope `read`, `RESOURCE_EXHAUSTED` for who asks too often.
pub(super) async fn visitor<T>(state: &AppState, request: &Request<T>) -> Result<Visitor, Status> {
    let headers = as_headers(&request.metadata().clone().into_headers());
    let peer = request.remote_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    let client = client_of(peer, &headers, &state.config.listen.trusted_proxies);
    state.rates.admit_address(client, PATH).map_err(|error| of_error(&error))?;
    Visitor::of(state, &headers, client, PATH).await.map_err(|error| of_error(&error))
}

/// The headers as the rest of the server knows them.
fn as_headers(given: &HeaderMap) -> HeaderMap {
    let mut headers = given.clone();
    if let Some(key) = given.get(header::AUTHORIZATION).and_then(|value| key_of(value.to_str().ok()?)) {
        headers.remove(header::AUTHORIZATION);
        if let Ok(value) = HeaderValue::from_str(&key) {
            headers.insert(KEY_HEADER, value);
        }
    }
    headers
}

/// The API key that stands in `authorization`, if one does.
pub(super) fn key_of(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return rest.starts_with(KEY_PREFIX).then(|| rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
    Some(decoded.split_once(':')?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let basic = format!("Basic {}", BASE64.encode("anybody:avk_1"));
        for basic in [&basic, basic.trim_end_matches('=')] {
            assert_eq!(key_of(basic).as_deref(), Some("avk_1"));
        }
        assert_eq!(key_of("bearer avk_1").as_deref(), Some("avk_1"));
        for other in ["Bearer eyJ0", "Basic !", "avk_1", "Digest avk_1", ""] {
            assert_eq!(key_of(other), None, "{other}");
        }
        let mut given = HeaderMap::new();
        given.insert(header::AUTHORIZATION, HeaderValue::from_str(&basic).unwrap());
        let headers = as_headers(&given);
        assert_eq!(headers.get(KEY_HEADER).unwrap(), "avk_1");
        assert_eq!(headers.get(header::AUTHORIZATION), None);
        given.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer eyJ0"));
        assert_eq!(as_headers(&given), given);
    }
}
