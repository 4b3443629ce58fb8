//! An immutable sorted run of one metric in memory: what a memtable becomes when it is sealed.

use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::point::{MetricId, Seq, UserId};
use crate::run::{Keys, Projection};
use crate::selection::{Columns, Selection, Users};
use crate::tombstone::Mask;

/// A sorted, deduplicated run with all columns, in batches of at most 65,536 rows, and its bounds.
#[derive(Debug)]
pub(crate) struct Segment {
    metric: MetricId,
    first_seq: Seq,
    last_seq: Seq,
    users: (UserId, UserId),
    times: (i64, i64),
    parts: Vec<SegmentPart>,
}

#[derive(Debug)]
struct SegmentPart {
    batch: RecordBatch,
    keys: Keys,
}

impl SegmentPart {
    fn users(&self) -> (&str, &str) {
        (self.keys.user(0), self.keys.user(self.keys.len().saturating_sub(1)))
    }
}

impl Segment {
    /// Takes sorted batches with all columns; `None` if there are none. Looks at each time once.
    ///
    /// # Errors
    /// [`crate::Error::Batch`] if a batch has not the columns of a run.
    pub(crate) fn new(
        metric: MetricId,
        (first_seq, last_seq): (Seq, Seq),
        batches: Vec<RecordBatch>,
    ) -> Result<Option<Self>> {
        let mut parts = Vec::with_capacity(batches.len());
        let mut times = (i64::MAX, i64::MIN);
        for batch in batches {
            let keys = Keys::of(&batch)?;
            if keys.len() == 0 {
                continue;
            }
            times = keys.times().iter().fold(times, |(min, max), time| (min.min(*time), max.max(*time)));
            parts.push(SegmentPart { batch, keys });
        }
        let first = parts.first().and_then(|part| UserId::parse(part.users().0));
        let last = parts.last().and_then(|part| UserId::parse(part.users().1));
        let Some(users) = first.zip(last) else { return Ok(None) };
        Ok(Some(Self { metric, first_seq, last_seq, users, times, parts }))
    }

    /// The metric.
    pub(crate) fn metric(&self) -> MetricId {
        self.metric
    }

    /// Smallest seq that went into it.
    pub(crate) fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// Largest seq that went into it.
    pub(crate) fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// All of it, for the flush. Copies no rows.
    pub(crate) fn batches(&self) -> impl Iterator<Item = RecordBatch> {
        self.parts.iter().map(|part| part.batch.clone())
    }

    /// Reads a selection, without what the mask covers. Binary search; slices, no copies.
    ///
    /// # Errors
    /// [`crate::Error::Batch`] if the columns do not fit together, which would be a defect.
    pub(crate) fn read(&self, selection: &Selection, columns: Columns, mask: &Mask) -> Result<Vec<RecordBatch>> {
        let mut found = Vec::new();
        if !self.touches(selection) {
            return Ok(found);
        }
        let projection = Projection::to(columns);
        let parts: &[SegmentPart] = match &selection.users {
            Users::One(user) => {
                let user = user.as_str();
                let start = self.parts.partition_point(|part| part.users().1 < user);
                let end = self.parts.partition_point(|part| part.users().0 <= user);
                self.parts.get(start..end).unwrap_or_default()
            }
            _ => &self.parts,
        };
        for part in parts {
            let ranges = part.keys.select(&selection.users, selection.times);
            for rows in mask.cut(&part.keys, ranges) {
                found.push(projection.slice(&part.batch, rows)?);
            }
        }
        Ok(found)
    }

    fn touches(&self, selection: &Selection) -> bool {
        let (first, last) = self.users;
        let users = match &selection.users {
            Users::One(user) => first <= *user && *user <= last,
            Users::Sorted(users) => {
                let from = users.partition_point(|user| *user < first);
                users.get(from).is_some_and(|user| *user <= last)
            }
            Users::All => true,
        };
        users && selection.metric == self.metric && selection.times.overlaps(self.times.0, self.times.1)
    }
}
