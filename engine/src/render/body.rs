//! An answer as one buffer while it is small, as a stream from there on.

use std::future::Future;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::{StreamExt, stream};

use super::json::{BucketWriter, Next, WindowWriter};
use crate::error::Result;
use crate::query::JsonBody;
use crate::query::budget::to_error;
use crate::query::window::position;

/// An answer up to about this long comes whole: a month of five-minute values does. It is in memory until its client
/// has taken it.
const WHOLE_BYTES_MAX: usize = 1 << 20;
/// Rows that are written at once: a month of five-minute values and then some, about 1 MB.
const PIECE_ROWS: usize = 16_384;

/// An answer that is written piece by piece.
pub(crate) trait Pieces: Send + 'static {
    /// Appends the next piece; `false` if that was the last.
    fn write(&mut self, out: &mut Vec<u8>) -> impl Future<Output = Result<bool>> + Send;
}

/// Writes until the end or until the answer is large; the rest is written as it is asked for.
pub(crate) async fn whole_or_stream<P: Pieces>(mut pieces: P) -> Result<JsonBody> {
    let mut out = Vec::new();
    while pieces.write(&mut out).await? {
        if out.len() > WHOLE_BYTES_MAX {
            let head = stream::iter([Ok(Bytes::from(out))]);
            let rest = stream::try_unfold(Some(pieces), |pieces| async {
                let Some(mut pieces) = pieces else { return Ok(None) };
                let mut out = Vec::new();
                let more = pieces.write(&mut out).await?;
                Ok(Some((Bytes::from(out), more.then_some(pieces))))
            });
            return Ok(JsonBody::Stream(head.chain(rest).boxed()));
        }
    }
    Ok(JsonBody::Whole(out.into()))
}

/// Batches of a window, cut into pieces from the end on.
struct Cut {
    batches: SendableRecordBatchStream,
    left: Option<RecordBatch>,
}

impl Cut {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match self.left.take() {
            Some(batch) => batch,
            None => match self.batches.next().await {
                Some(batch) => batch.map_err(to_error)?,
                None => return Ok(None),
            },
        };
        let Some(left) = batch.num_rows().checked_sub(PIECE_ROWS).filter(|left| *left > 0) else {
            return Ok(Some(batch));
        };
        self.left = Some(batch.slice(0, left));
        Ok(Some(batch.slice(left, PIECE_ROWS)))
    }

    /// The batches of the next piece, so that there is room for all of them before the first is written. Empty at the
    /// end.
    async fn piece(&mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let mut rows = 0;
        while rows < PIECE_ROWS
            && let Some(batch) = self.next().await?
        {
            rows += batch.num_rows();
            batches.push(batch);
        }
        Ok(batches)
    }
}

/// `{"metric","unit","data_points":[…]}` from the batches of a window.
pub(crate) struct WindowPieces {
    batches: Cut,
    writer: WindowWriter,
    metric: Box<str>,
    /// Rows that may still be given, where a limit was; the plan gives one more, if there is one.
    rows_left: Option<usize>,
    last: Option<RecordBatch>,
}

impl WindowPieces {
    /// Over `batches`, which hold one row more than `limit` where more follow.
    pub(crate) fn new(
        batches: SendableRecordBatchStream,
        writer: WindowWriter,
        metric: &str,
        limit: Option<usize>,
    ) -> Self {
        let batches = Cut { batches, left: None };
        Self { batches, writer, metric: metric.into(), rows_left: limit, last: None }
    }

    /// Writes a batch; `false` if the page is full, and ended.
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<bool> {
        let Some(rows_left) = self.rows_left else {
            self.writer.rows(batch, out)?;
            return Ok(true);
        };
        let given = batch.num_rows().min(rows_left);
        let given = batch.slice(batch.num_rows() - given, given);
        self.writer.rows(&given, out)?;
        self.rows_left = Some(rows_left - given.num_rows());
        let is_more = given.num_rows() < batch.num_rows();
        if given.num_rows() > 0 {
            self.last = Some(given);
        }
        if is_more {
            WindowWriter::finish(self.cursor()?.as_deref().map_or(Next::Nothing, Next::Page), out);
        }
        Ok(!is_more)
    }

    fn cursor(&self) -> Result<Option<String>> {
        let Some(last) = &self.last else { return Ok(None) };
        Ok(Some(position(last, 0)?.encode(&self.metric)))
    }
}

impl Pieces for WindowPieces {
    async fn write(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let batches = self.batches.piece().await?;
        self.writer.reserve(batches.iter().map(RecordBatch::num_rows).sum(), out);
        self.writer.begin(out);
        for batch in &batches {
            if !self.batch(batch, out)? {
                return Ok(false);
            }
        }
        if batches.is_empty() {
            WindowWriter::finish(if self.rows_left.is_some() { Next::Nothing } else { Next::NotAsked }, out);
        }
        Ok(!batches.is_empty())
    }
}

/// `{"metric","unit","bucket","tz","buckets":[…]}` from the batches of buckets.
pub(crate) struct BucketPieces {
    batches: SendableRecordBatchStream,
    writer: BucketWriter,
}

impl BucketPieces {
    /// Over `batches`.
    pub(crate) fn new(batches: SendableRecordBatchStream, writer: BucketWriter) -> Self {
        Self { batches, writer }
    }
}

impl Pieces for BucketPieces {
    async fn write(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        self.writer.begin(out);
        let Some(batch) = self.batches.next().await.transpose().map_err(to_error)? else {
            BucketWriter::finish(out);
            return Ok(false);
        };
        self.writer.rows(&batch, out)?;
        Ok(true)
    }
}
