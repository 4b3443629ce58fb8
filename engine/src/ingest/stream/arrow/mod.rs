//! An Arrow IPC stream: a schema, dictionaries, record batches, as `pyarrow` and `polars` write them.
//!
//! | column             | type                                                         |                              |
//! |--------------------|--------------------------------------------------------------|------------------------------|
//! | `metric`           | text                                                         | required                     |
//! | `value`            | integer or float                                             | required                     |
//! | `recorded_at`      | timestamp (without a zone: UTC), or text in RFC 3339         | required                     |
//! | `source`           | text                                                         | required                     |
//! | `unit`             | text                                                         | without it: the canonical one |
//! | `source_device_id` | text, null where there is none                               |                              |
//! | `user_id`          | text, null for the sender                                    |                              |
//!
//! Text is UTF-8 with 32- or 64-bit offsets, views, or a dictionary of one of these. Other columns are ignored; nested
//! ones are refused. Each message is inspected ([`inspect`]) before the arrow crate decodes it, because what it allocates
//! follows what the message says of itself.

mod columns;
mod inspect;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;

use self::columns::PointColumns;
use self::inspect::{Inspector, Message};
use super::super::check::{Check, Raw};
use super::rows::Rows;
use super::{CHUNK_LINES_MAX, Chunk, LineFault, place};
use crate::catalogue::Catalogue;
use crate::error::{Fault, FaultKind, Loc};

/// The bytes that came and are not decoded yet, and the record batch whose rows are given out.
#[derive(Debug, Default)]
pub(super) struct Batches {
    bytes: Vec<u8>,
    inspector: Inspector,
    decoder: StreamDecoder,
    /// The batch under way and the first of its rows that is in no chunk.
    columns: Option<(PointColumns, usize)>,
    is_schema_there: bool,
    is_broken: bool,
}

impl Batches {
    pub(super) fn push(&mut self, piece: &[u8]) {
        if !self.is_broken {
            self.bytes.extend_from_slice(piece);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.columns.is_some() || (!self.is_broken && !matches!(Inspector::next(&self.bytes), Ok(None)))
    }

    pub(super) fn fill(&mut self, catalogue: &Catalogue, now_us: i64, is_end: bool, chunk: &mut Chunk) {
        while self.columns.is_none() && !self.is_broken {
            match self.decode_next() {
                Ok(true) => {}
                Ok(false) => {
                    if is_end {
                        self.end(chunk);
                    }
                    return;
                }
                Err(what) => return self.broken(&what, chunk),
            }
        }
        let Some((columns, from)) = &mut self.columns else { return };
        let until = columns.len().min(from.saturating_add(CHUNK_LINES_MAX));
        let mut check: Check<'_, '_, Rows> = Check::new(catalogue, now_us, &mut chunk.rows);
        for row in *from..until {
            chunk.through += 1;
            check.target().line = chunk.through;
            let raw: Raw<'_> = columns.row(row);
            check.take(raw, &[place(chunk.through)]);
            if let Some(faults) = check.take_faults() {
                chunk.faults.push(LineFault { line: chunk.through, faults });
            }
        }
        *from = until;
        if until == columns.len() {
            self.columns = None;
        }
    }

    /// Decodes the next message; `false` if it is not all there.
    fn decode_next(&mut self) -> Result<bool, String> {
        let Some(Message { bytes, is_end }) = Inspector::next(&self.bytes)? else { return Ok(false) };
        if is_end && bytes < self.bytes.len() {
            return Err("something follows the end of the stream".to_owned());
        }
        self.inspector.admit(self.bytes.get(..bytes).unwrap_or_default())?;
        let rest = self.bytes.split_off(bytes);
        let mut message = Buffer::from_vec(std::mem::replace(&mut self.bytes, rest));
        while let Some(batch) = self.decode(&mut message)? {
            self.take(&batch)?;
        }
        self.is_schema_there = true;
        Ok(true)
    }

    /// Lets the arrow crate decode. It may still panic over what no inspection foresaw: then the message is broken.
    fn decode(&mut self, message: &mut Buffer) -> Result<Option<RecordBatch>, String> {
        let decoded = catch_unwind(AssertUnwindSafe(|| self.decoder.decode(message)));
        match decoded {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the message contradicts itself".to_owned()),
        }
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let columns = PointColumns::new(batch)?;
        if columns.len() > 0 {
            self.columns = Some((columns, 0));
        }
        Ok(())
    }

    fn end(&mut self, chunk: &mut Chunk) {
        if !self.bytes.is_empty() {
            self.broken("it ends inside a message", chunk);
        } else if !self.is_schema_there {
            self.broken("it is empty: not even a schema", chunk);
        }
    }

    /// Nothing can be read beyond this.
    fn broken(&mut self, what: &str, chunk: &mut Chunk) {
        self.is_broken = true;
        self.bytes = Vec::new();
        let line = chunk.through + 1;
        let loc = vec![Loc::Key("body"), place(line)];
        let msg = format!("the Arrow stream cannot be read on: {what}").into();
        chunk.faults.push(LineFault { line, faults: vec![Fault { loc, msg, kind: FaultKind::Value }] });
        chunk.is_broken = true;
    }
}
