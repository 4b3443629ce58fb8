//! Points as columns: the types that every layer above and below speaks.
//!
//! A [`PointBatch`] is what one request holds: one user, a few metrics, a few origins (source and device), and
//! three columns. It is grouped by metric once, when it is made, so that nothing behind it has to look at a row.
//!
//! Not here: what a metric means, which values are plausible, how a point looks in JSON.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::Error;

/// Bytes of a user id: `usr_` and eight base62 characters, which Arrow's string view holds inline.
pub const USER_ID_BYTES: usize = 12;
/// Longest source name, bytes.
pub const SOURCE_BYTES_MAX: usize = 64 * 4;
/// Longest device id, bytes.
pub const DEVICE_BYTES_MAX: usize = 128 * 4;
/// Most points in one batch.
pub const BATCH_POINTS_MAX: usize = 65_536;
/// Most metrics that one data directory can hold.
pub const METRICS_MAX: usize = 1_024;
/// Longest metric key, bytes.
pub const METRIC_KEY_BYTES_MAX: usize = 64;

/// The person a point belongs to. Opaque here but for its length and that it is printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId([u8; USER_ID_BYTES]);

impl UserId {
    /// Takes an id of exactly [`USER_ID_BYTES`] characters of `[A-Za-z0-9_]`; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; USER_ID_BYTES] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').then_some(Self(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // `parse` let only ASCII in, so this cannot fail; the fallback keeps it free of panics.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id's bytes, all ASCII.
    pub fn as_bytes(&self) -> &[u8; USER_ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A metric's place in the table of names of one open [`crate::Storage`]. Never stored: files carry the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(pub u16);

impl MetricId {
    /// The id as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Order of acceptance: 1 for the first point ever, without gaps, assigned by the log thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Half-open range of times `[start, end)`, microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First microsecond inside.
    pub start: i64,
    /// First microsecond behind.
    pub end: i64,
}

impl TimeRange {
    /// All times there are. (`i64::MAX` itself is not a time that a point may carry.)
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// Whether `micros` lies inside.
    pub fn contains(self, micros: i64) -> bool {
        self.start <= micros && micros < self.end
    }

    /// Whether any of the inclusive range `first..=last` lies inside.
    pub fn overlaps(self, first: i64, last: i64) -> bool {
        self.start <= last && first < self.end
    }
}

/// The distinct (source, device) pairs of a batch, in one string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    text: String,
    /// End of the source, end of the device; `None` where there is no device (which is an identity of its own).
    ends: Vec<(u32, Option<u32>)>,
}

impl Origins {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Pair number `index`.
    pub fn get(&self, index: usize) -> Option<(&str, Option<&str>)> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => {
                let (source, device) = self.ends.get(before)?;
                device.unwrap_or(*source)
            }
        };
        let (source_end, device_end) = *self.ends.get(index)?;
        let source = self.text.get(start as usize..source_end as usize)?;
        let device = match device_end {
            None => None,
            Some(end) => Some(self.text.get(source_end as usize..end as usize)?),
        };
        Some((source, device))
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The index of a pair, added if it is new. Linear: a batch has a handful. `None` when there are 65,536 already.
    pub fn intern(&mut self, source: &str, device: Option<&str>) -> Option<u16> {
        if let Some(found) = self.iter().position(|pair| pair == (source, device)) {
            return u16::try_from(found).ok();
        }
        self.append(source, device)
    }

    /// Adds a pair of which the caller knows that it is not there. `None` when there are 65,536 already.
    pub fn append(&mut self, source: &str, device: Option<&str>) -> Option<u16> {
        let index = u16::try_from(self.ends.len()).ok()?;
        self.text.push_str(source);
        let source_end = u32::try_from(self.text.len()).ok()?;
        let device_end = match device {
            None => None,
            Some(device) => {
                self.text.push_str(device);
                Some(u32::try_from(self.text.len()).ok()?)
            }
        };
        self.ends.push((source_end, device_end));
        Some(index)
    }

    /// Forgets all pairs, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<(u32, Option<u32>)>()
    }
}

/// The points of one metric inside a batch: rows `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Whose points they are.
    pub metric: MetricId,
    /// First row.
    pub start: u32,
    /// First row behind.
    pub end: u32,
}

impl Part {
    /// The rows as a range for slicing.
    pub fn rows(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Points of one user in columns, grouped by metric, in order of acceptance inside a metric.
///
/// Invariants (checked by [`PointBatch::new`]): the columns are equally long; `parts` cover all rows in order, none
/// empty, no metric twice; every `origin` is an index into `origins`; every value is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct PointBatch {
    user: UserId,
    parts: Box<[Part]>,
    recorded_at: Box<[i64]>,
    value: Box<[f64]>,
    origin: Box<[u16]>,
    origins: Origins,
}

impl PointBatch {
    /// Checks the invariants and takes the columns.
    ///
    /// # Errors
    /// [`Error::Batch`] names the invariant that does not hold.
    pub fn new(
        user: UserId,
        parts: Vec<Part>,
        recorded_at: Vec<i64>,
        value: Vec<f64>,
        origin: Vec<u16>,
        origins: Origins,
    ) -> Result<Self, Error> {
        let len = recorded_at.len();
        let fail = |what| Err(Error::Batch { what });
        if len == 0 || len > BATCH_POINTS_MAX {
            return fail("a batch holds 1 to 65,536 points");
        }
        if value.len() != len || origin.len() != len {
            return fail("columns differ in length");
        }
        let mut row = 0;
        for (nth, part) in parts.iter().enumerate() {
            if part.start != row || part.end <= part.start {
                return fail("parts do not cover the rows");
            }
            if parts.iter().take(nth).any(|before| before.metric == part.metric) {
                return fail("a metric has two parts");
            }
            row = part.end;
        }
        if row as usize != len {
            return fail("parts do not cover the rows");
        }
        if origin.iter().any(|index| usize::from(*index) >= origins.len()) {
            return fail("an origin is out of range");
        }
        if value.iter().any(|value| !value.is_finite()) {
            return fail("a value is not finite");
        }
        if recorded_at.contains(&i64::MAX) {
            return fail("a time is out of range");
        }
        Ok(Self {
            user,
            parts: parts.into(),
            recorded_at: recorded_at.into(),
            value: value.into(),
            origin: origin.into(),
            origins,
        })
    }

    /// Whose points they are.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Number of points, never 0.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.recorded_at.len()
    }

    /// The rows of each metric.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Times, microseconds since 1970 UTC.
    pub fn recorded_at(&self) -> &[i64] {
        &self.recorded_at
    }

    /// Values in the metric's canonical unit, all finite.
    pub fn value(&self) -> &[f64] {
        &self.value
    }

    /// Index into [`Self::origins`] of each row.
    pub fn origin(&self) -> &[u16] {
        &self.origin
    }

    /// The distinct (source, device) pairs.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Memory that the batch holds, bytes.
    pub fn heap_bytes(&self) -> usize {
        self.len() * (8 + 8 + 2) + self.parts.len() * size_of::<Part>() + self.origins.heap_bytes() + size_of::<Self>()
    }
}

/// A batch that is durable: what the log thread hands on after the sync.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The points.
    pub batch: Arc<PointBatch>,
    /// Seq of row 0; row `n` has `first_seq + n`.
    pub first_seq: Seq,
    /// When the group was committed, milliseconds since 1970 UTC, never decreasing.
    pub accepted_at_ms: i64,
}

/// What [`crate::Storage::delete`] removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// One user's points of one metric in a range of time, of those accepted before the deletion.
    Range {
        /// Whose.
        user: UserId,
        /// Which metric.
        metric: MetricId,
        /// Which times.
        times: TimeRange,
    },
    /// Everything of a user, earlier and later: the log thread refuses the user's points from then on.
    User(UserId),
}
