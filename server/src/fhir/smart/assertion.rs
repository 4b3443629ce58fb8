//! A client's proof: a JWT that it has signed with its private key (RFC 7523, as SMART backend services narrow it).
//!
//! What is wrong with one is told in full only behind its signature: to somebody who cannot sign for a client all
//! refusals are alike, and none says whether there is such a client.

use jsonwebtoken::Validation;
use serde::Deserialize;
use serde_json::{Number, Value};

use super::jwks::Jwks;

/// Longest assertion that is looked at, bytes; an honest one has a kilobyte.
pub(super) const BYTES_MAX: usize = 8 << 10;

/// Furthest end of an assertion, seconds from now: SMART allows no more than five minutes.
pub(super) const LIFE_S_MAX: i64 = 300;

/// How far the clocks of a client and of this server may differ, seconds.
pub(super) const SKEW_S: i64 = 30;

/// Longest `jti`, bytes.
const JTI_BYTES_MAX: usize = 256;

/// Why an assertion is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody we know has signed it. One answer for all.
    Unproved,
    /// A client has signed it, and it does not hold.
    Wrong(&'static str),
}

/// Whom an unread assertion speaks of, and by which key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) client_id: String,
    kid: String,
}

/// What a signed assertion says.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: Number,
    nbf: Option<Number>,
    iat: Option<Number>,
    jti: String,
}

/// An assertion that holds, if it was not used before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) jti: String,
    /// Behind this its own time refuses it, on every server's clock; seconds since 1970 UTC.
    pub(super) kept_until_s: i64,
}

/// Whom an assertion speaks of, without believing it.
pub(super) fn named(assertion: &str) -> Result<Named, Refusal> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    if assertion.len() > BYTES_MAX {
        return Err(Refusal::Unproved);
    }
    let header = jsonwebtoken::decode_header(assertion).map_err(|_| Refusal::Unproved)?;
    // What must be understood is not.
    if header.crit.is_some() {
        return Err(Refusal::Unproved);
    }
    let kid = header.kid.ok_or(Refusal::Unproved)?;
    let Issuer { iss } = jsonwebtoken::dangerous::insecure_decode_claims(assertion).map_err(|_| Refusal::Unproved)?;
    Ok(Named { client_id: iss, kid })
}

/// Checks signature and claims of an assertion against the keys of the client that it names.
pub(super) fn check(
    assertion: &str,
    named: &Named,
    keys: &Jwks,
    token_url: &str,
    now_s: i64,
) -> Result<Proof, Refusal> {
    let key = keys.get(&named.kid).ok_or(Refusal::Unproved)?;
    // The registered key's algorithm, and no other: the header's word for it decides nothing.
    let mut validation = Validation::new(key.algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims::<&str>(&[]);
    let decoded = jsonwebtoken::decode::<Value>(assertion, &key.verifying, &validation);
    let claims = decoded.map_err(|_| Refusal::Unproved)?.claims;
    let claims: Claims =
        serde_json::from_value(claims).map_err(|_| Refusal::Wrong("iss, sub, aud, exp and jti must be there"))?;
    if claims.iss != named.client_id || claims.sub != named.client_id {
        return Err(Refusal::Wrong("iss and sub must both be the client's id"));
    }
    if !is_for(&claims.aud, token_url) {
        return Err(Refusal::Wrong("aud must be the token endpoint's URL, exactly, and nothing else"));
    }
    let seconds = |number: &Number| seconds(number).ok_or(Refusal::Wrong("times must be numbers of seconds"));
    let exp = seconds(&claims.exp)?;
    if exp <= now_s.saturating_sub(SKEW_S) {
        return Err(Refusal::Wrong("it has expired"));
    }
    if exp > now_s.saturating_add(LIFE_S_MAX + SKEW_S) {
        return Err(Refusal::Wrong("exp must be at most five minutes ahead"));
    }
    for time in [&claims.nbf, &claims.iat].into_iter().flatten() {
        if seconds(time)? > now_s.saturating_add(SKEW_S) {
            return Err(Refusal::Wrong("it is not valid yet"));
        }
    }
    if claims.jti.is_empty() || claims.jti.len() > JTI_BYTES_MAX {
        return Err(Refusal::Wrong("jti must be 1 to 256 bytes"));
    }
    Ok(Proof { jti: claims.jti, kept_until_s: exp.saturating_add(2 * SKEW_S) })
}

/// Whether an audience is this one alone: an assertion for several could be shown to each of them.
fn is_for(aud: &Value, token_url: &str) -> bool {
    match aud {
        Value::String(text) => text == token_url,
        Value::Array(list) => matches!(list.as_slice(), [Value::String(text)] if text == token_url),
        _ => false,
    }
}

/// Whole seconds of a time, which may have a fraction.
fn seconds(number: &Number) -> Option<i64> {
    let text = number.to_string();
    text.split_once('.').map_or(text.as_str(), |(whole, _)| whole).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_whatever_their_fraction() {
        let of = |text: &str| seconds(&serde_json::from_str(text).unwrap());
        assert_eq!(of("1780000300"), Some(1_780_000_300));
        assert_eq!(of("1780000300.75"), Some(1_780_000_300));
        assert_eq!(of("1e300"), None);
        assert_eq!(of("99999999999999999999"), None);
    }

    #[test]
    fn an_audience_is_this_one_alone() {
        let is_for = |text: &str| is_for(&serde_json::from_str(text).unwrap(), "https://h/token");
        assert!(is_for(r#""https://h/token""#) && is_for(r#"["https://h/token"]"#));
        for other in [
            r#""https://h/token/""#,
            r#""https://h/Token""#,
            r#""https://h""#,
            r#"["https://h/token","https://o/token"]"#,
            "[]",
            "null",
            "1",
            r#"{"0":"https://h/token"}"#,
            r#"[["https://h/token"]]"#,
            r#""""#,
        ] {
            assert!(!is_for(other), "{other}");
        }
    }
}
