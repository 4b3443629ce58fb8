//! Where the FHIR face is reached, where more depends on it than a link: the audience of a client's assertion.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Uri, header};

use super::answer::BASE;
use crate::config;

/// The base URL, without a slash at its end: the configured one. Without one it is known to requests over the loopback
/// alone: any other host that a request names may be somebody else's, and a client's proof that is meant for somebody
/// else must not pass here.
pub fn of(config: &config::Fhir, parts: &Parts) -> Option<String> {
    if let Some(base) = &config.base_url {
        return Some(format!("{base}{BASE}"));
    }
    let authority = authority(parts)?;
    is_loopback(authority.host()).then(|| format!("http://{authority}{BASE}"))
}

/// The host that a request names: in its target (HTTP/2) or its header.
fn authority(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let uri: Uri = parts.headers.get(header::HOST)?.to_str().ok()?.parse().ok()?;
    uri.authority().filter(|authority| !authority.as_str().contains('@')).cloned()
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn base(config: &config::Fhir, target: &str, host: Option<&str>) -> Option<String> {
        let mut request = Request::builder().uri(target);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        of(config, &request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_names_the_base_over_the_loopback_alone() {
        let unset = config::Fhir::default();
        for (host, expected) in [
            ("localhost:8080", Some("http://localhost:8080/fhir/R4")),
            ("127.0.0.1:81", Some("http://127.0.0.1:81/fhir/R4")),
            ("[::1]:81", Some("http://[::1]:81/fhir/R4")),
            ("other.example.org", None),
            ("localhost.example.org", None),
            ("192.0.2.1", None),
            ("user@localhost", None),
            ("local host", None),
            ("", None),
        ] {
            assert_eq!(base(&unset, "/", Some(host)).as_deref(), expected, "{host}");
        }
        assert_eq!(base(&unset, "/", None), None);
        assert_eq!(base(&unset, "http://localhost:1/x", None).as_deref(), Some("http://localhost:1/fhir/R4"));
    }

    #[test]
    fn what_is_configured_stands_whatever_a_request_says() {
        let set = config::Fhir { base_url: Some("https://h.example.org".to_owned()), ..config::Fhir::default() };
        assert_eq!(base(&set, "/", Some("localhost")).as_deref(), Some("https://h.example.org/fhir/R4"));
    }
}
