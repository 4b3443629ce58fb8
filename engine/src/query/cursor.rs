//! Where a page of a window ended, as opaque text.
//!
//! | bytes      | field         | meaning                                                            |
//! |------------|---------------|--------------------------------------------------------------------|
//! | 0          | `version`     | 1                                                                  |
//! | 1..5       | `metric`      | FNV-1a of the metric's key: a cursor of another metric is refused  |
//! | 5..13      | `recorded_at` | of the last point given, microseconds UTC, big-endian              |
//! | 13         | `has_device`  | 0 or 1                                                             |
//! | 14..16     | `source_len`  | bytes of the source, big-endian                                    |
//! | 16..       |               | the source, then the device                                        |
//!
//! Base64, URL alphabet, no padding. Decoding is strict: exactly one text means one position. A cursor gives nobody
//! any right: it is a place in the caller's own window.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Fault, FaultKind, Loc};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
/// Longest text that can be a cursor: a header, a source and a device, in base64.
const TEXT_BYTES_MAX: usize =
    (HEADER_BYTES + storage::point::SOURCE_BYTES_MAX + storage::point::DEVICE_BYTES_MAX) * 4 / 3 + 4;

/// A point's place in a window of one user and metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Microseconds UTC.
    pub(crate) recorded_at: i64,
    /// Its source.
    pub(crate) source: String,
    /// Its device; `None` sorts first, as in the storage.
    pub(crate) device: Option<String>,
}

impl Position {
    /// The cursor's text.
    pub(crate) fn encode(&self, metric: &str) -> String {
        let device = self.device.as_deref();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.source.len() + device.map_or(0, str::len));
        bytes.push(VERSION);
        bytes.extend_from_slice(&hash(metric).to_be_bytes());
        bytes.extend_from_slice(&self.recorded_at.to_be_bytes());
        bytes.push(u8::from(device.is_some()));
        bytes.extend_from_slice(&u16::try_from(self.source.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(self.source.as_bytes());
        bytes.extend_from_slice(device.unwrap_or_default().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that [`Self::encode`] made for the same metric.
    ///
    /// # Errors
    /// [`Error::Invalid`] at `["query", "cursor"]`.
    pub(crate) fn decode(text: &str, metric: &str) -> Result<Self, Error> {
        Self::read(text, metric).map_err(|msg| {
            let loc = vec![Loc::Key("query"), Loc::Key("cursor")];
            Error::Invalid(vec![Fault { loc, msg: Cow::Borrowed(msg), kind: FaultKind::Value }])
        })
    }

    fn read(text: &str, metric: &str) -> Result<Self, &'static str> {
        const FOREIGN: &str = "not a cursor of this server; take `next_cursor` as it came";
        if text.len() > TEXT_BYTES_MAX {
            return Err(FOREIGN);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| FOREIGN)?;
        let (header, strings) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(FOREIGN)?;
        let [version, m0, m1, m2, m3, t0, t1, t2, t3, t4, t5, t6, t7, has_device, s0, s1] = *header;
        if version != VERSION || has_device > 1 {
            return Err(FOREIGN);
        }
        if u32::from_be_bytes([m0, m1, m2, m3]) != hash(metric) {
            return Err("the cursor belongs to another metric");
        }
        let strings = std::str::from_utf8(strings).map_err(|_| FOREIGN)?;
        let (source, device) = strings.split_at_checked(usize::from(u16::from_be_bytes([s0, s1]))).ok_or(FOREIGN)?;
        if has_device == 0 && !device.is_empty() {
            return Err(FOREIGN);
        }
        Ok(Self {
            recorded_at: i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            source: source.to_owned(),
            device: (has_device == 1).then(|| device.to_owned()),
        })
    }
}

/// FNV-1a, 32 bits: tells metrics apart, protects nothing.
fn hash(metric: &str) -> u32 {
    metric.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back_and_only_for_its_metric(
            recorded_at: i64,
            source in "\\PC{0,64}",
            device in prop::option::of("\\PC{0,128}"),
        ) {
            let position = Position { recorded_at, source, device };
            let text = position.encode("heart_rate");
            prop_assert!(text.len() <= TEXT_BYTES_MAX);
            prop_assert_eq!(Position::decode(&text, "heart_rate").unwrap(), position);
            prop_assert!(Position::decode(&text, "hrv").is_err());
        }

        #[test]
        fn one_changed_byte_is_refused_or_another_position(place in 0_usize..40, byte in 0x20_u8..0x7f) {
            let position = Position { recorded_at: 1, source: "watch".to_owned(), device: Some("d".to_owned()) };
            let mut text = position.encode("hrv").into_bytes();
            let place = place % text.len();
            prop_assume!(text[place] != byte);
            text[place] = byte;
            let text = String::from_utf8(text).unwrap();
            prop_assert!(Position::decode(&text, "hrv").map_or(true, |other| other != position));
        }
    }

    #[test]
    fn what_is_not_a_cursor_is_refused_where_it_stands() {
        let good = Position { recorded_at: 5, source: "watch".to_owned(), device: None }.encode("hrv");
        let long = "A".repeat(100_000);
        for text in ["", "A", "not base64!", "AAAA", &format!("{good}="), &format!("{good}AA"), &long] {
            let Err(Error::Invalid(faults)) = Position::decode(text, "hrv") else { panic!("{text}") };
            assert_eq!(faults[0].loc, [Loc::Key("query"), Loc::Key("cursor")]);
        }
    }

    #[test]
    fn positions_sort_as_the_storage_does() {
        let at = |source: &str, device: Option<&str>| Position {
            recorded_at: 0,
            source: source.to_owned(),
            device: device.map(str::to_owned),
        };
        assert!(at("a", None) < at("a", Some("")));
        assert!(at("a", Some("z")) < at("b", None));
    }
}
