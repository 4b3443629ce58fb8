//! The metrics that this server knows, as data: the built-in ones and the operator's own.
//!
//! A metric's place in the catalogue is a small integer, by which ingest counts and the engine keeps the storage's
//! ids. Places of built-in metrics come first and never depend on the configuration.
//!
//! Not here: the storage's ids, which metrics have data.

mod builtin;
pub mod config;
pub mod unit;

use std::sync::Arc;

use bytes::Bytes;

pub use self::config::{OwnMetric, OwnUnit};
pub use self::unit::{AcceptedUnit, Conversion};
use crate::error::{Error, Result};
use crate::number;

/// What is known of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name in the API: `[a-z0-9_]`, 1 to 64 characters.
    pub key: Box<str>,
    /// The canonical unit, in which values are stored and answered.
    pub unit: Box<str>,
    /// For people.
    pub description: Box<str>,
    /// Least plausible value, canonical, itself accepted.
    pub min: f64,
    /// Greatest plausible value, canonical, itself accepted.
    pub max: f64,
    /// All units that are accepted, the canonical one first.
    pub units: Box<[AcceptedUnit]>,
    /// LOINC codes, the most fitting first; none where none means the same thing.
    pub loinc: Box<[Box<str>]>,
    /// The canonical unit in UCUM; `None` if the operator gave none.
    pub ucum: Option<Box<str>>,
    /// Whether it counts things: whole values are written as `9241`, not `9241.0`.
    pub is_count: bool,
}

impl Metric {
    /// How a value in `unit` becomes canonical; `None` if the unit is not accepted.
    #[inline]
    pub fn conversion(&self, unit: &str) -> Option<Conversion> {
        self.units.iter().find(|accepted| *accepted.name == *unit).map(|accepted| accepted.conversion)
    }

    /// Whether a canonical value is plausible. NaN and infinities are not.
    #[inline]
    pub fn is_plausible(&self, value: f64) -> bool {
        self.min <= value && value <= self.max
    }
}

/// All metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    metrics: Box<[Metric]>,
    places: Places,
    json: Bytes,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Catalogue {
    /// The built-in metrics alone.
    pub fn builtin() -> Self {
        Self::of(builtin::metrics().collect())
    }

    /// The built-in metrics and the operator's own.
    ///
    /// # Errors
    /// [`Error::Catalogue`] names the first metric that is wrong, and what is wrong with it.
    pub fn with_own(own: Vec<OwnMetric>) -> Result<Self> {
        let mut metrics: Vec<Metric> = builtin::metrics().collect();
        let builtin_count = metrics.len();
        for metric in own {
            let metric = metric.checked()?;
            let fault = match metrics.iter().position(|known| known.key == metric.key) {
                Some(place) if place < builtin_count => Some("the key is a built-in metric's"),
                Some(_) => Some("the key is there twice"),
                None if metrics.len() == storage::point::METRICS_MAX => Some("there are 1,024 metrics already"),
                None => None,
            };
            if let Some(what) = fault {
                return Err(Error::Catalogue { key: metric.key.into(), what: what.into() });
            }
            metrics.push(metric);
        }
        Ok(Self::of(metrics))
    }

    fn of(metrics: Vec<Metric>) -> Self {
        let places = Places::of(&metrics);
        let json = metrics_json(&metrics);
        Self { inner: Arc::new(Inner { metrics: metrics.into(), places, json }) }
    }

    /// The metric of a key.
    pub fn get(&self, key: &str) -> Option<&Metric> {
        self.at(self.place(key)?)
    }

    /// The place of a key. Cost: one hash of at most 16 bytes and, nearly always, one comparison; no allocation.
    #[inline]
    pub fn place(&self, key: &str) -> Option<u16> {
        self.inner.places.find(key, &self.inner.metrics)
    }

    /// The metric at a place.
    #[inline]
    pub fn at(&self, place: u16) -> Option<&Metric> {
        self.inner.metrics.get(usize::from(place))
    }

    /// Number of metrics; places are below it.
    #[expect(clippy::len_without_is_empty, reason = "there are always the built-in ones")]
    pub fn len(&self) -> usize {
        self.inner.metrics.len()
    }

    /// All metrics in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Metric> {
        self.inner.metrics.iter()
    }

    /// `{"metrics":[{"key","unit","description","bounds":{"min","max"},"units":[…],"loinc":[…],"ucum"},…]}`, made once.
    pub fn metrics_json(&self) -> Bytes {
        self.inner.json.clone()
    }
}

impl<'a> IntoIterator for &'a Catalogue {
    type Item = &'a Metric;
    type IntoIter = std::slice::Iter<'a, Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A hash table from keys to places: open addressing, at most a quarter full.
#[derive(Debug)]
struct Places {
    /// [`NO_PLACE`] where nothing is; a power of two of slots.
    slots: Box<[u16]>,
}

const NO_PLACE: u16 = u16::MAX;

impl Places {
    fn of(metrics: &[Metric]) -> Self {
        let mut slots = vec![NO_PLACE; (metrics.len() * 4).next_power_of_two()];
        let mask = slots.len() - 1;
        for (place, metric) in (0_u16..).zip(metrics) {
            let mut slot = hash(metric.key.as_bytes()) & mask;
            while slots.get(slot).is_some_and(|taken| *taken != NO_PLACE) {
                slot = (slot + 1) & mask;
            }
            if let Some(free) = slots.get_mut(slot) {
                *free = place;
            }
        }
        Self { slots: slots.into() }
    }

    #[inline]
    fn find(&self, key: &str, metrics: &[Metric]) -> Option<u16> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash(key.as_bytes()) & mask;
        // Ends at a free slot at the latest: three in four are.
        loop {
            let place = *self.slots.get(slot)?;
            let metric = metrics.get(usize::from(place))?;
            if *metric.key == *key {
                return Some(place);
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// A hash of the length, the first eight and the last eight bytes, which tell metrics apart well enough.
#[inline]
fn hash(key: &[u8]) -> usize {
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    };
    let mixed = (head ^ tail.rotate_left(23) ^ key.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::from((mixed >> 48) as u16)
}

/// Renders the answer of `GET /wearables/metrics`.
fn metrics_json(metrics: &[Metric]) -> Bytes {
    let mut out = b"{\"metrics\":[".to_vec();
    for (nth, metric) in metrics.iter().enumerate() {
        out.extend_from_slice(if nth == 0 { b"{\"key\":" } else { b",{\"key\":" });
        write_text(&metric.key, &mut out);
        out.extend_from_slice(b",\"unit\":");
        write_text(&metric.unit, &mut out);
        out.extend_from_slice(b",\"description\":");
        write_text(&metric.description, &mut out);
        out.extend_from_slice(b",\"bounds\":{\"min\":");
        number::write(metric.min, metric.is_count, &mut out);
        out.extend_from_slice(b",\"max\":");
        number::write(metric.max, metric.is_count, &mut out);
        out.extend_from_slice(b"},\"units\":");
        write_texts(metric.units.iter().map(|unit| &*unit.name), &mut out);
        out.extend_from_slice(b",\"loinc\":");
        write_texts(metric.loinc.iter().map(|code| &**code), &mut out);
        out.extend_from_slice(b",\"ucum\":");
        match &metric.ucum {
            Some(ucum) => write_text(ucum, &mut out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out.into()
}

fn write_texts<'a>(texts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (nth, text) in texts.enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        write_text(text, out);
    }
    out.push(b']');
}

/// Writes a text that has no control characters (the catalogue's checks say so) as a JSON string.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
