//! The app's JSON, read leniently: what is of another type than expected is as if it were not there.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// `{"data": {"metrics": […], "workouts": […], …}}`
#[derive(Debug, Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    pub(super) data: Data<'a>,
}

/// What the app sends beside metrics (workouts, moods, medications) is not read.
#[derive(Debug, Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow, default)]
    pub(super) metrics: Vec<Metric<'a>>,
    #[serde(default)]
    pub(super) workouts: Vec<IgnoredAny>,
}

/// One metric; the order of its fields is any.
#[derive(Debug, Deserialize)]
pub(super) struct Metric<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) units: Text<'a>,
    #[serde(borrow, default)]
    pub(super) data: Vec<Entry<'a>>,
}

/// One value or night.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) date: Text<'a>,
    pub(super) qty: Number,
    #[serde(rename = "Avg", alias = "avg")]
    pub(super) average: Number,
    #[serde(borrow)]
    pub(super) source: Text<'a>,
    #[serde(rename = "startDate", borrow)]
    pub(super) start: Text<'a>,
    #[serde(rename = "endDate", borrow)]
    pub(super) end: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Text<'a>,
    #[serde(rename = "totalSleep")]
    pub(super) total_sleep: Number,
    pub(super) asleep: Number,
    pub(super) core: Number,
    pub(super) deep: Number,
    pub(super) rem: Number,
    #[serde(rename = "sleepStart", borrow)]
    pub(super) sleep_start: Text<'a>,
    #[serde(rename = "sleepEnd", borrow)]
    pub(super) sleep_end: Text<'a>,
    #[serde(rename = "sleepSource", borrow)]
    pub(super) sleep_source: Text<'a>,
}

/// A text, empty where there is none.
#[derive(Debug, Default, Clone)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// A finite number, if there is one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Number(pub(super) Option<f64>);

/// What stands in a field.
enum Found<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match from.deserialize_any(Any)? {
            Found::Text(text) => Self(text),
            Found::Number(_) | Found::Other => Self::default(),
        })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = match from.deserialize_any(Any)? {
            Found::Number(number) => Some(number),
            Found::Text(text) => text.trim().parse().ok(),
            Found::Other => None,
        };
        Ok(Self(number.filter(|number: &f64| number.is_finite())))
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Found<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Found::Number(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "no measured value has more than 53 bits")]
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Found::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "no measured value has more than 53 bits")]
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Found::Number(number as f64))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Found::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Found::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other)
    }
}
