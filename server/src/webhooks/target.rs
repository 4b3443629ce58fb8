//! The URL of an endpoint: what is no plain `https://name/path` is refused before anybody looks a name up.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::Rules;

/// Longest URL, bytes.
pub(crate) const URL_BYTES_MAX: usize = 2_048;

/// Names that never lead outside: the last label, and names of a single one.
const INWARD: [&str; 9] = ["localhost", "local", "internal", "intranet", "corp", "home", "lan", "private", "arpa"];

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it is dialled.
    pub(crate) url: Url,
    /// Who is dialled.
    pub(crate) host: TargetHost,
}

/// Who is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetHost {
    /// An address, which the rules allow.
    Address(IpAddr),
    /// A name, whose addresses are still to be judged.
    Name(String),
}

impl Target {
    /// Reads a URL by the rules.
    ///
    /// # Errors
    /// What is wrong with it, for its owner.
    pub(crate) fn parse(text: &str, rules: &Rules) -> Result<Self, &'static str> {
        if text.len() > URL_BYTES_MAX {
            return Err("must be at most 2048 bytes");
        }
        // A parser of URLs repairs what others take for something else: nothing of that kind is let in.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['\\', '"', '<', '>', '`', '{', '}']) {
            return Err("must be a URL of printable ASCII characters; write other names in punycode");
        }
        let url = Url::parse(text).map_err(|_| "must be a URL such as https://example.org/hook")?;
        match url.scheme() {
            "https" => {}
            "http" if rules.allow_http => {}
            "http" => return Err("must be https"),
            _ => return Err("must be a URL such as https://example.org/hook"),
        }
        // `https:name` and `https:///name` are repaired as well.
        let is_plain = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/'));
        if !is_plain {
            return Err("must be a URL such as https://example.org/hook");
        }
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            return Err("must not hold credentials: requests are signed");
        }
        if url.fragment().is_some() {
            return Err("must not hold a fragment");
        }
        if url.port() == Some(0) {
            return Err("must not be of port 0");
        }
        let host = host(&url, text, rules)?;
        Ok(Self { url, host })
    }
}

fn host(url: &Url, text: &str, rules: &Rules) -> Result<TargetHost, &'static str> {
    const REFUSED: &str = "leads to an address that this server does not call";
    let written = written_host(text);
    let address = match url.host() {
        Some(Host::Ipv4(address)) if written == address.to_string() => IpAddr::V4(address),
        // `0x7f.1`, `2130706433`, `127.1`, `0177.0.0.1`, `%31…`: who writes those wants to get past somebody.
        Some(Host::Ipv4(_)) => return Err("must write an IPv4 address as four decimal numbers"),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(name)) => return name_of(name, written, rules).map(TargetHost::Name),
        None => return Err("must name a host"),
    };
    if rules.permit(address) { Ok(TargetHost::Address(address)) } else { Err(REFUSED) }
}

fn name_of(name: &str, written: &str, rules: &Rules) -> Result<String, &'static str> {
    if !written.eq_ignore_ascii_case(name) {
        return Err("must write the host's name as it is, without escapes");
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("must name a host");
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_inward = !name.contains('.') || INWARD.contains(&last);
    if is_inward && !rules.reaches_inward() {
        return Err("names a host of an inner network, which this server does not call");
    }
    Ok(name.to_owned())
}

/// What stands between `//` and the path.
fn authority(text: &str) -> &str {
    let behind = text.split_once("://").map_or("", |(_, rest)| rest);
    behind.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The host as it was written, without its port.
fn written_host(text: &str) -> &str {
    let authority = authority(text);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
