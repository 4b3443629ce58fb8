//! Which format `Accept` prefers (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, StatusCode, header};
use engine::Format;

use crate::error::ApiError;

/// The format that is liked best; of those liked alike the first of [`Format::ALL`]. JSON without a header.
///
/// # Errors
/// 406 if none is liked.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Format, ApiError> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<(&str, u32)> = values.flat_map(|value| value.split(',')).filter_map(range).collect();
    if ranges.is_empty() {
        return Ok(Format::Json);
    }
    let mut best = None;
    for format in Format::ALL {
        let liking = liking(format, &ranges);
        if liking > 0 && best.is_none_or(|(_, most)| liking > most) {
            best = Some((format, liking));
        }
    }
    let none = || {
        let kinds = Format::ALL.map(Format::media_type).join(", ");
        ApiError::new(StatusCode::NOT_ACCEPTABLE, format!("the answer can be {kinds}"))
    };
    best.map(|(format, _)| format).ok_or_else(none)
}

/// A media range and how much it is liked, 0 to 1000.
fn range(text: &str) -> Option<(&str, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((range, weight.map_or(1_000, thousandths)))
}

/// `0.75` as 750; what is no weight likes nothing.
fn thousandths(text: &str) -> u32 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<3}");
    match (whole, digits.get(..3).and_then(|digits| digits.parse().ok())) {
        ("1", Some(_)) => 1_000,
        ("0", Some(part)) => part,
        _ => 0,
    }
}

/// How much a format is liked: by the range that speaks of it most precisely.
fn liking(format: Format, ranges: &[(&str, u32)]) -> u32 {
    let kind = format.media_type();
    let precision = |range: &str| match range {
        "*/*" => Some(0),
        range if range.eq_ignore_ascii_case(kind) => Some(2),
        range => {
            let major = range.strip_suffix("/*")?;
            kind.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(major)).then_some(1)
        }
    };
    let spoken = ranges.iter().filter_map(|(range, liking)| Some((precision(range)?, *liking)));
    spoken.max().map_or(0, |(_, liking)| liking)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_format_that_is_liked_best_is_answered() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(text));
            wanted(&headers).map_err(|error| error.status().as_u16())
        };
        for (accept, expected) in [
            ("", Ok(Format::Json)),
            ("*/*", Ok(Format::Json)),
            ("text/*", Ok(Format::Csv)),
            ("text/csv; charset=utf-8", Ok(Format::Csv)),
            ("application/vnd.apache.arrow.stream", Ok(Format::Arrow)),
            ("application/vnd.apache.parquet, application/json;q=0.9", Ok(Format::Parquet)),
            ("text/csv;q=0.1, */*;q=0.5", Ok(Format::Json)),
            ("application/json;q=0, */*", Ok(Format::Csv)),
            ("text/html", Err(406)),
            ("application/json;q=0", Err(406)),
            ("*/*;q=x", Err(406)),
        ] {
            assert_eq!(of(accept), expected, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()).unwrap(), Format::Json);
    }
}
