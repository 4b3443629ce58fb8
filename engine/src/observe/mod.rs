//! One person's points of several metrics in the order of their times, with when each was accepted and whether it was
//! corrected: what a record of observations is made of.
//!
//! ```text
//! metric ─▶ Walk (slices of time, merged and deduplicated by the storage) ─┐
//! metric ─▶ Walk                                                          ─┼▶ Observations ─▶ Observed, Observed, …
//! metric ─▶ Walk                                                          ─┘
//! ```
//!
//! The order is total: time, metric's key, source, device (none before any), or all of it backwards. So a reader can stop
//! anywhere and go on behind that [`Place`] later: what was there all the while comes exactly once, whatever was sent in
//! the meantime. All of it is read from one snapshot; one that has outlived its longest life is taken anew, and the reading
//! goes on behind the last point.
//!
//! Not here: how an observation looks, who may see it.

mod columns;
mod walk;

use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use storage::{Snapshot, Storage, TimeRange, UserId};

pub use self::columns::{Measured, ObservedColumns, OriginRun};
use self::walk::Walk;
use crate::error::Result;
use crate::query::cursor::Position;
use crate::query::metrics::{Entry, Metrics};

/// Which way time runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The earliest first.
    Ascending,
    /// The latest first.
    Descending,
}

/// A point's place in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Microseconds UTC.
    pub recorded_at: i64,
    /// The metric's key, or any other text that stands between keys.
    pub metric: String,
    /// The source.
    pub source: String,
    /// The device; none sorts before any.
    pub device: Option<String>,
}

/// A point as a condition sees it, after it was deduplicated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate<'a> {
    /// The metric's key.
    pub metric: &'a str,
    /// The source.
    pub source: &'a str,
    /// The device.
    pub device: Option<&'a str>,
    /// Everything that differs from point to point.
    pub measured: Measured,
}

/// Whether a point is wanted.
pub type Keep = Arc<dyn Fn(&Candidate<'_>) -> bool + Send + Sync>;

/// What is asked for.
#[derive(Clone)]
pub struct ObserveQuery {
    /// Keys of metrics, each once; their order does not matter.
    pub metrics: Vec<Arc<str>>,
    /// When measured, microseconds UTC.
    pub times: TimeRange,
    /// Which way.
    pub order: Order,
    /// Only what comes behind this place.
    pub after: Option<Place>,
    /// Only those for which it says so.
    pub keep: Option<Keep>,
    /// About how many points will be read: decides how much is read at once, not how many come.
    pub rows_about: usize,
}

impl fmt::Debug for ObserveQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveQuery")
            .field("metrics", &self.metrics)
            .field("times", &self.times)
            .field("order", &self.order)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

/// Some points of one metric, one behind the other in the order that was asked for.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The metric's key.
    pub metric: Arc<str>,
    /// Ascending whatever the order is.
    batch: RecordBatch,
    order: Order,
}

impl Observed {
    /// How many; never none where [`Observations`] gives it.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns, for reading.
    ///
    /// # Errors
    /// Never for what [`Observations`] gave.
    pub fn columns(&self) -> Result<ObservedColumns<'_>> {
        ObservedColumns::new(&self.batch, self.order)
    }

    /// The first `rows` in the order, and the others. Costs no copy.
    #[must_use]
    pub fn split_at(&self, rows: usize) -> (Self, Self) {
        let len = self.len();
        let rows = rows.min(len);
        let part = |start, rows| Self { batch: self.batch.slice(start, rows), ..self.clone() };
        match self.order {
            Order::Ascending => (part(0, rows), part(rows, len - rows)),
            Order::Descending => (part(len - rows, rows), part(0, len - rows)),
        }
    }

    /// How many of the points come before a place that no point of this metric has.
    ///
    /// # Errors
    /// As [`Self::columns`].
    pub fn rows_before(&self, recorded_at: i64, metric: &str) -> Result<usize> {
        Ok(rows_before(self.columns()?.times(), &self.metric, (recorded_at, metric), self.order))
    }

    /// The place of the last point; `None` if there is no point.
    ///
    /// # Errors
    /// As [`Self::columns`].
    pub fn last_place(&self) -> Result<Option<Place>> {
        let row = match self.order {
            Order::Ascending => self.len().checked_sub(1),
            Order::Descending => (!self.is_empty()).then_some(0),
        };
        let Some(row) = row else { return Ok(None) };
        let Position { recorded_at, source, device } = crate::query::window::position(&self.batch, row)?;
        Ok(Some(Place { recorded_at, metric: (*self.metric).to_owned(), source, device }))
    }
}

/// How many of one metric's ascending times come before another's place in an order.
fn rows_before(times: &[i64], metric: &str, (recorded_at, other): (i64, &str), order: Order) -> usize {
    match order {
        Order::Ascending if metric < other => times.partition_point(|time| *time <= recorded_at),
        Order::Ascending => times.partition_point(|time| *time < recorded_at),
        Order::Descending if metric > other => times.len() - times.partition_point(|time| *time < recorded_at),
        Order::Descending => times.len() - times.partition_point(|time| *time <= recorded_at),
    }
}

/// Points of a person, in order. Nothing is read before the first [`Self::next`].
pub struct Observations {
    storage: Arc<Storage>,
    user: UserId,
    entries: Vec<Entry>,
    query: ObserveQuery,
    lanes: Vec<Lane>,
    /// What was given last.
    last: Option<Observed>,
    /// A new snapshot was taken, and nothing was given since.
    is_renewed: bool,
}

impl fmt::Debug for Observations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observations").field("query", &self.query).finish_non_exhaustive()
    }
}

/// One metric's way, and the points of it that come next.
struct Lane {
    walk: Walk,
    head: Option<Observed>,
    is_over: bool,
}

impl Observations {
    /// Of what exists at this moment.
    ///
    /// # Errors
    /// [`crate::Error::UnknownMetric`].
    pub(crate) fn new(storage: &Arc<Storage>, metrics: &Metrics, user: UserId, query: ObserveQuery) -> Result<Self> {
        let entries = query.metrics.iter().map(|key| metrics.get(key).cloned()).collect::<Result<_>>()?;
        let mut all = Self {
            storage: Arc::clone(storage),
            user,
            entries,
            query,
            lanes: Vec::new(),
            last: None,
            is_renewed: false,
        };
        all.begin(&storage.snapshot());
        Ok(all)
    }

    fn begin(&mut self, snapshot: &Snapshot) {
        let walk = |entry: &Entry| Walk::new(snapshot.clone(), self.user, entry, &self.query);
        self.lanes = self.entries.iter().map(|entry| Lane { walk: walk(entry), head: None, is_over: false }).collect();
    }

    /// The next points, at most 65,536; `None` at the end.
    ///
    /// # Errors
    /// I/O; an expired snapshot, if a new one expires before anything could be read from it.
    pub async fn next(&mut self) -> Result<Option<Observed>> {
        loop {
            match self.fill().await {
                Ok(()) => break,
                Err(crate::Error::Storage(storage::Error::SnapshotExpired { .. })) if !self.is_renewed => {
                    if let Some(place) = self.last.as_ref().map(Observed::last_place).transpose()?.flatten() {
                        self.query.after = Some(place);
                    }
                    self.is_renewed = true;
                    self.begin(&self.storage.snapshot());
                }
                Err(error) => return Err(error),
            }
        }
        let Some(next) = self.take()? else { return Ok(None) };
        self.is_renewed = false;
        self.last = Some(next.clone());
        Ok(Some(next))
    }

    /// Lets every lane have points, unless it is over.
    async fn fill(&mut self) -> Result<()> {
        for lane in &mut self.lanes {
            if lane.head.is_none() && !lane.is_over {
                lane.head = lane.walk.next().await?;
                lane.is_over = lane.head.is_none();
            }
        }
        Ok(())
    }

    /// The points of the lane that comes first, up to where another one does.
    fn take(&mut self) -> Result<Option<Observed>> {
        let order = self.query.order;
        let mut heads: Vec<(i64, usize)> = Vec::with_capacity(self.lanes.len());
        for (nth, lane) in self.lanes.iter().enumerate() {
            if let Some(head) = &lane.head {
                let times = head.columns()?;
                let first = if order == Order::Ascending { times.times().first() } else { times.times().last() };
                heads.extend(first.map(|time| (*time, nth)));
            }
        }
        let metric = |nth: usize| self.lanes.get(nth).map(|lane| Arc::clone(&lane.walk.metric)).unwrap_or_default();
        heads.sort_by(|(a, a_lane), (b, b_lane)| {
            let ascending = a.cmp(b).then_with(|| metric(*a_lane).cmp(&metric(*b_lane)));
            if order == Order::Ascending { ascending } else { ascending.reverse() }
        });
        let mut heads = heads.into_iter();
        let Some((_, winner)) = heads.next() else { return Ok(None) };
        let limit = heads.next().map(|(time, lane)| (time, metric(lane)));
        let Some(lane) = self.lanes.get_mut(winner) else { return Ok(None) };
        let Some(head) = lane.head.take() else { return Ok(None) };
        let Some((time, other)) = limit else { return Ok(Some(head)) };
        // Never none: its first point is what made it the winner.
        let rows = head.rows_before(time, &other)?.max(1);
        let (next, left) = head.split_at(rows);
        lane.head = (!left.is_empty()).then_some(left);
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests;
