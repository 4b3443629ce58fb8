//! Times in bodies of the control plane: RFC 3339 outside, microseconds inside.

use jiff::Timestamp;

/// UTC with `Z`; a fraction only where there is one.
pub(crate) fn rfc3339(us: i64) -> String {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN).to_string()
}

/// Microseconds since 1970 UTC of a time with an offset.
pub(crate) fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_contract_says() {
        assert_eq!(rfc3339(1_780_000_000_000_000), "2026-05-28T20:26:40Z");
        assert_eq!(rfc3339(1_780_000_000_500_000), "2026-05-28T20:26:40.5Z");
        assert_eq!(parse("2026-05-28T22:26:40.5+02:00"), Some(1_780_000_000_500_000));
        for text in ["", "2026-05-28", "2026-05-28T22:26:40", "yesterday"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
