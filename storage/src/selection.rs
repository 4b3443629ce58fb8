//! Which points a read wants, in which columns, and the stream it gets.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;

use crate::error::Result;
use crate::point::{MetricId, TimeRange, UserId};

/// Whose points a read wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// One person's.
    One(UserId),
    /// These people's; sorted, distinct.
    Sorted(Arc<[UserId]>),
    /// Everybody's: for compaction and operators, never for a caller's query.
    All,
}

impl Users {
    /// Whether any of them lies in `first..=last`.
    pub(crate) fn overlaps(&self, first: UserId, last: UserId) -> bool {
        let inside = |user: &UserId| first <= *user && *user <= last;
        match self {
            Self::One(user) => inside(user),
            Self::Sorted(users) => {
                let from = users.partition_point(|user| *user < first);
                users.get(from).is_some_and(inside)
            }
            Self::All => true,
        }
    }
}

/// Which points a read wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The metric.
    pub metric: MetricId,
    /// Whose.
    pub users: Users,
    /// When measured.
    pub times: TimeRange,
}

/// Which columns a read wants, beside `recorded_at` and `value`, which always come.
///
/// The batches' columns are in the order of [`crate::schema`], those not wanted left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns {
    /// `user_id`
    pub user_id: bool,
    /// `source`
    pub source: bool,
    /// `source_device_id`
    pub source_device_id: bool,
    /// `accepted_at` and `corrected`
    pub acceptance: bool,
}

impl Columns {
    /// Every column.
    pub const ALL: Self = Self { user_id: true, source: true, source_device_id: true, acceptance: true };

    /// Places of these columns in [`crate::schema`].
    pub(crate) fn indices(self) -> Vec<usize> {
        let wanted = [self.user_id, true, true, self.source, self.source_device_id, self.acceptance, self.acceptance];
        wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(index, _)| index).collect()
    }

    /// The schema of the batches that a read with these columns gives.
    pub fn schema(self) -> SchemaRef {
        let full = crate::schema::schema();
        let fields: Vec<_> = self.indices().into_iter().filter_map(|index| full.fields().get(index).cloned()).collect();
        Arc::new(arrow::datatypes::Schema::new(fields))
    }
}

/// Sorted by (user, recorded_at, source, device), no identity twice, tombstones applied. Batches are never empty and
/// hold at most 65,536 rows.
pub type PointStream = BoxStream<'static, Result<RecordBatch>>;
