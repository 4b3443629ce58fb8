//! Statements that a client has prepared, and the values that it puts into them.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use engine::query::sql::Param;
use futures::TryStreamExt as _;
use tonic::Status;

use super::status::of_error;

/// A statement, and its values so far.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) sql: String,
    pub(super) params: Vec<Param>,
}

/// The values that a client sends: one row of them.
///
/// # Errors
/// `INVALID_ARGUMENT` for anything else.
pub(super) async fn values(sent: PeekableFlightDataStream) -> Result<Vec<Param>, Status> {
    let mut batches = FlightRecordBatchStream::new_from_flight_data(sent.map_err(FlightError::from));
    let mut found: Option<Vec<Param>> = None;
    while let Some(batch) = batches.try_next().await.map_err(|error| Status::invalid_argument(error.to_string()))? {
        let batch: RecordBatch = batch;
        match (batch.num_rows(), &found) {
            (0, _) => {}
            (1, None) => found = Some(Param::of_row(&batch, 0).map_err(|error| of_error(&error.into()))?),
            _ => return Err(Status::invalid_argument("a statement takes one row of values at a time")),
        }
    }
    Ok(found.unwrap_or_default())
}

/// A schema as messages carry it.
///
/// # Errors
/// `INTERNAL`, Arrow's.
pub(super) fn schema_bytes(schema: &SchemaRef) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &options));
    message.map(|IpcMessage(bytes)| bytes).map_err(|error| Status::internal(error.to_string()))
}
