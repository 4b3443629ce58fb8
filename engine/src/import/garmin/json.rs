//! JSON as Garmin writes it: lists of entries, read one at a time, and values that may be of another type than they
//! should be, which then are no values.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::time::{self, SECOND_US};

/// The year 10,000: behind every time that can be meant, seconds from 1970.
const SECONDS_MAX: i64 = 253_402_300_800;

/// Longer texts are no dates, times or names of ours.
const TEXT_BYTES_MAX: usize = 256;

/// A number, a text, or nothing that could be read as one.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) enum Scalar {
    #[default]
    Nothing,
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "no count or duration comes near 2^53")]
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Nothing | Self::Text(_) => None,
        }
    }

    /// Seconds: from 1970, of a duration, of an offset.
    pub(crate) fn seconds(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number).filter(|seconds| seconds.abs() < SECONDS_MAX),
            Self::Number(number) if number.abs() < 1e11 => {
                #[expect(clippy::cast_possible_truncation, reason = "bounded above; part of a second is cut off")]
                let seconds = *number as i64;
                Some(seconds)
            }
            Self::Number(_) | Self::Nothing | Self::Text(_) => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nothing | Self::Integer(_) | Self::Number(_) => None,
        }
    }

    /// A moment in UTC, microseconds: `2023-03-01T05:00:00.0`, or milliseconds from 1970.
    pub(crate) fn moment(&self) -> Option<i64> {
        match self {
            Self::Integer(millis) => Some(*millis).filter(|at| at.abs() < SECONDS_MAX * 1_000).map(|at| at * 1_000),
            Self::Text(text) if text.ends_with('Z') => time::parse(text),
            Self::Text(text) => time::parse(&format!("{text}Z")),
            Self::Number(_) | Self::Nothing => None,
        }
    }

    /// The first microsecond of a date like `2023-03-01`, as if it were in UTC.
    pub(crate) fn date(&self) -> Option<i64> {
        time::parse(&format!("{}T00:00:00Z", self.text()?))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read as text first: serde_json's own conversion may miss a decimal's nearest double, and any type is allowed.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        Ok(match text.bytes().next() {
            Some(b'"') if text.len() <= TEXT_BYTES_MAX => serde_json::from_str(text).map_or(Self::Nothing, Self::Text),
            Some(b'-' | b'0'..=b'9') => match text.parse() {
                Ok(integer) => Self::Integer(integer),
                Err(_) => text.parse().map_or(Self::Nothing, Self::Number),
            },
            _ => Self::Nothing,
        })
    }
}

/// Hands every entry of a list to a function, without holding the list; a single object is a list of one.
///
/// The function returns false to end the reading, which then is an error of serde's.
pub(crate) struct Each<T, F> {
    take: F,
    entry: PhantomData<T>,
}

impl<T, F: FnMut(T) -> bool> Each<T, F> {
    pub(crate) fn new(take: F) -> Self {
        Self { take, entry: PhantomData }
    }
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> bool> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> bool> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            if !(self.take)(entry) {
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        if (self.take)(T::deserialize(MapAccessDeserializer::new(map))?) {
            Ok(())
        } else {
            Err(serde::de::Error::custom("stopped"))
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Values by their offset in seconds, in the order of the JSON: `{"0": 62, "15": 63}`.
#[derive(Debug, Default)]
pub(crate) struct Offsets(pub(crate) Vec<(i64, f64)>);

impl<'de> Deserialize<'de> for Offsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Offsets;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("values by their offset in seconds")
            }

            fn visit_unit<E>(self) -> Result<Offsets, E> {
                Ok(Offsets::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Offsets, A::Error> {
                let mut pairs = Vec::new();
                while let Some((offset, value)) = map.next_entry::<String, Scalar>()? {
                    let offset = offset.parse().ok().filter(|seconds: &i64| seconds.abs() < SECONDS_MAX);
                    pairs.extend(offset.zip(value.number()));
                }
                Ok(Offsets(pairs))
            }
        }

        deserializer.deserialize_any(Pairs)
    }
}

/// Microseconds of seconds that [`Scalar::seconds`] has bounded.
pub(crate) fn micros(seconds: i64) -> i64 {
    seconds * SECOND_US
}
