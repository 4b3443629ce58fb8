//! The bounds of a query, and how an error finds its way through DataFusion.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;

use super::leaf::external;
use crate::error::{Bound, Error};

/// What an error of DataFusion means to the caller: one of ours that travelled inside is taken out again, and memory
/// that ran out is a bound that was hit.
pub fn to_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(own) = inner.downcast_ref::<Error>()
    {
        return own.clone();
    }
    if matches!(root, DataFusionError::ResourcesExhausted(_)) {
        return Error::Budget { bound: Bound::Size, what: "memory of one query (`query_memory_bytes`)".to_owned() };
    }
    Error::Query(Arc::new(error))
}

/// The error of a query that ran too long.
pub(crate) fn too_slow(time_max: Duration) -> Error {
    Error::Budget { bound: Bound::Time, what: format!("{} ms of time", time_max.as_millis()) }
}

/// A stream that ends with [`Error::Budget`] when it takes too long or gives too many rows.
pub(crate) struct Bounded {
    inner: SendableRecordBatchStream,
    deadline: Pin<Box<tokio::time::Sleep>>,
    time_max: Duration,
    rows_left: usize,
    rows_max: usize,
    is_done: bool,
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounded").field("rows_left", &self.rows_left).finish_non_exhaustive()
    }
}

impl Bounded {
    /// Bounds `inner` to the time left until `deadline` and to `rows_max` rows.
    pub(crate) fn new(
        inner: SendableRecordBatchStream,
        deadline: tokio::time::Instant,
        time_max: Duration,
        rows_max: usize,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep_until(deadline));
        Self { inner, deadline, time_max, rows_left: rows_max, rows_max, is_done: false }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        self.is_done = true;
        Poll::Ready(Some(Err(external(error))))
    }
}

impl Stream for Bounded {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        if self.deadline.as_mut().poll(ctx).is_ready() {
            let error = too_slow(self.time_max);
            return self.fail(error);
        }
        let Poll::Ready(item) = self.inner.as_mut().poll_next(ctx) else { return Poll::Pending };
        match item {
            Some(Ok(batch)) => {
                if let Some(left) = self.rows_left.checked_sub(batch.num_rows()) {
                    self.rows_left = left;
                    Poll::Ready(Some(Ok(batch)))
                } else {
                    let error =
                        Error::Budget { bound: Bound::Size, what: format!("{} rows in one answer", self.rows_max) };
                    self.fail(error)
                }
            }
            last => {
                self.is_done = true;
                Poll::Ready(last)
            }
        }
    }
}

impl RecordBatchStream for Bounded {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
