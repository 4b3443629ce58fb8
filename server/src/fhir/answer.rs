//! Answers of the FHIR face: their form, their addresses, and whether a client has them already.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::outcome::Failure;
use crate::state::AppState;

/// The one form of answers.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/fhir+json");

/// Where the FHIR face begins, below the server's address.
pub const BASE: &str = "/fhir/R4";

/// What `_format` may say: they all mean the same.
const FORMATS: [&str; 4] = ["json", "application/json", "application/fhir+json", "text/json"];

/// What `fhirVersion` beside a form may say.
const VERSIONS: [&str; 2] = ["4.0", "4.0.1"];

/// The server's address as the client knows it, with [`BASE`] at its end: what links begin with.
///
/// It is what the configuration says, else what the request says by `Host` and `X-Forwarded-Proto`. Whoever forges these
/// reads forged links in their own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(pub String);

impl Base {
    /// Of a request; `authority` is that of an absolute target, which HTTP/2 has in place of `Host`.
    fn of(configured: Option<&str>, headers: &HeaderMap, authority: Option<&Authority>) -> Self {
        if let Some(configured) = configured {
            return Self(format!("{configured}{BASE}"));
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // Of a row of proxies the first one is what the client reached; each may add its word.
        let proto = text("x-forwarded-proto").and_then(|protos| protos.split(',').next()).unwrap_or_default();
        let scheme = if proto.trim().eq_ignore_ascii_case("https") { "https" } else { "http" };
        let host = authority.map(Authority::as_str).or_else(|| text("host"));
        let host = host.filter(|host| host.parse::<Authority>().is_ok_and(|host| !host.as_str().contains('@')));
        Self(format!("{scheme}://{}{BASE}", host.unwrap_or("localhost")))
    }
}

impl FromRequestParts<AppState> for Base {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Self::Rejection> {
        Ok(Self::of(state.config.fhir.base_url.as_deref(), &parts.headers, parts.uri.authority()))
    }
}

/// Refuses a request for a form that there is not: `format` is what `_format` says, and wins over `Accept`.
///
/// # Errors
/// 406, with the parameter or the header.
pub fn check_form(format: Option<&str>, headers: &HeaderMap) -> Result<(), Failure> {
    if let Some(format) = format {
        // A `+` that was not escaped arrives as a space.
        let form = format.split(';').next().unwrap_or_default().trim().replace(' ', "+");
        let is_taken = FORMATS.contains(&form.as_str()) && is_of_version(format);
        return if is_taken { Ok(()) } else { Err(Failure::not_acceptable("_format")) };
    }
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accepted.peek().is_none() {
        return Ok(());
    }
    let is_taken = |range: &str| {
        let form = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_form = matches!(form.as_str(), "*/*" | "application/*" | "") || FORMATS.contains(&form.as_str());
        is_form && is_of_version(range) && !is_refused(range)
    };
    if accepted.any(|value| value.split(',').any(is_taken)) { Ok(()) } else { Err(Failure::not_acceptable("Accept")) }
}

/// Whether a range has the quality 0, which says what is not acceptable (RFC 9110, section 12.4.2).
fn is_refused(range: &str) -> bool {
    let mut parameters = range.split(';').skip(1).filter_map(|one| one.split_once('='));
    parameters.any(|(name, value)| name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>() == Ok(0.0))
}

/// Whether a form with its parameters is of the version of FHIR that there is, or of none in particular.
fn is_of_version(form: &str) -> bool {
    let mut parameters = form.split(';').skip(1).filter_map(|one| one.split_once('='));
    parameters.all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("fhirVersion") || VERSIONS.contains(&value.trim().trim_matches('"'))
    })
}

/// A body as it is.
pub fn answer(body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body.into()).into_response()
}

/// A resource with its version, or 304 where the client has that version.
pub fn versioned(request: &HeaderMap, version: &str, changed_us: i64, body: Vec<u8>) -> Response {
    let tag = format!("W/\"{version}\"");
    let mut response =
        if is_known(request, &tag, changed_us) { StatusCode::NOT_MODIFIED.into_response() } else { answer(body) };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let Ok(changed) = HeaderValue::from_str(&http_date(changed_us)) {
        headers.insert(header::LAST_MODIFIED, changed);
    }
    response
}

/// Whether the request says that the client has this version. `If-Modified-Since` counts only without `If-None-Match`.
fn is_known(request: &HeaderMap, tag: &str, changed_us: i64) -> bool {
    let mut tags = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).peekable();
    if tags.peek().is_some() {
        let strong = tag.trim_start_matches("W/");
        let is_this = |text: &str| text == "*" || text.trim_start_matches("W/") == strong;
        return tags.any(|value| value.split(',').any(|text| is_this(text.trim())));
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    since.is_some_and(|since| changed_us.div_euclid(1_000_000) <= since.timestamp().as_second())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub fn http_date(at_us: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(at_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn links_begin_with_what_the_configuration_or_else_the_request_says() {
        let of = |pairs: &[(&'static str, &str)]| Base::of(None, &headers(pairs), None).0;
        assert_eq!(of(&[("host", "health.example.org:8443")]), "http://health.example.org:8443/fhir/R4");
        for (protos, scheme) in
            [("https", "https"), ("HTTPS", "https"), ("https, http", "https"), ("http,https", "http"), ("", "http")]
        {
            assert_eq!(
                of(&[("host", "h"), ("x-forwarded-proto", protos)]),
                format!("{scheme}://h/fhir/R4"),
                "{protos}"
            );
        }
        for forged in ["h/../x?", "a b", "u@h", ""] {
            assert_eq!(of(&[("host", forged)]), "http://localhost/fhir/R4", "{forged}");
        }
        let configured = Base::of(Some("https://x.org/y"), &headers(&[("host", "h")]), None);
        assert_eq!(configured.0, "https://x.org/y/fhir/R4");
        assert_eq!(Base::of(None, &HeaderMap::new(), Some(&"h2:1".parse().unwrap())).0, "http://h2:1/fhir/R4");
    }

    #[test]
    fn json_is_answered_to_whoever_takes_it() {
        let status = |format: Option<&str>, pairs: &[(&'static str, &str)]| {
            check_form(format, &headers(pairs)).map_err(|failure| failure.into_response().status().as_u16())
        };
        assert_eq!(status(None, &[]), Ok(()));
        for accept in [
            "application/fhir+json",
            "text/html,*/*;q=0.1",
            "application/json; fhirVersion=4.0;q=0.001",
            "application/*",
        ] {
            assert_eq!(status(None, &[("accept", accept)]), Ok(()), "{accept}");
        }
        for accept in [
            "application/fhir+xml",
            "application/fhir+json;fhirVersion=5.0",
            "application/fhir+json; q=1; fhirversion=\"3.0\"",
            "application/fhir+json;fhirVersion=4.3, text/html",
            "application/fhir+xml, application/fhir+json;q=0",
            "*/*; Q=0.000",
        ] {
            assert_eq!(status(None, &[("accept", accept)]), Err(406), "{accept}");
        }
        let either = "application/fhir+json;fhirVersion=5.0, application/fhir+json;fhirVersion=\"4.0\"";
        assert_eq!(status(None, &[("accept", either)]), Ok(()));
        assert_eq!(status(Some("application/fhir+json; fhirVersion=4.0.1"), &[]), Ok(()));
        assert_eq!(status(Some("json;fhirVersion=5.0"), &[]), Err(406));
        assert_eq!(status(Some("json"), &[("accept", "application/fhir+xml")]), Ok(()), "`_format` wins");
        assert_eq!(status(Some("application/fhir json"), &[]), Ok(()));
        for format in ["xml", "application/fhir+xml", "html", ""] {
            assert_eq!(status(Some(format), &[]), Err(406), "{format}");
        }
    }

    #[test]
    fn a_version_that_the_client_has_is_not_sent_again() {
        let status = |pairs: &[(&'static str, &str)]| {
            versioned(&headers(pairs), "17", 784_111_777_500_000, b"{}".to_vec()).status().as_u16()
        };
        assert_eq!(status(&[]), 200);
        for known in ["W/\"17\"", "\"17\"", "\"1\", W/\"17\"", "*"] {
            assert_eq!(status(&[("if-none-match", known)]), 304, "{known}");
        }
        assert_eq!(status(&[("if-none-match", "W/\"18\"")]), 200);
        assert_eq!(status(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]), 304);
        assert_eq!(status(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")]), 200);
        assert_eq!(status(&[("if-modified-since", "yesterday")]), 200);
        assert_eq!(status(&[("if-none-match", "\"1\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]), 200);
        let response = versioned(&HeaderMap::new(), "17", 784_111_777_500_000, Vec::new());
        assert_eq!(response.headers()[header::LAST_MODIFIED], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(response.headers()[header::ETAG], "W/\"17\"");
    }
}
