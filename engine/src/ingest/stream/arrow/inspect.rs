//! Whether a message of an Arrow stream may be decoded: all its sizes are bounded and inside it.
//!
//! A message is a marker, the length of its header, the header (a flatbuffer, whose own offsets are verified by its
//! crate), and a body. The arrow crate trusts the header's sizes: it would allocate what a compressed buffer says it
//! inflates to, and panic over a buffer beyond the body.

use std::collections::HashMap;

use arrow::ipc::{
    self, CompressionType, DictionaryBatch, Endianness, Field, KeyValue, MessageHeader, RecordBatch, Schema,
    root_as_message,
};

use super::super::MESSAGE_BYTES_MAX;

/// Longest header of a message, bytes.
const HEADER_BYTES_MAX: usize = 256 << 10;
/// Most columns of a stream.
const COLUMNS_MAX: usize = 64;
/// Most rows of one record batch.
const ROWS_MAX: i64 = 1 << 20;
/// All dictionaries of a stream together, inflated, bytes.
const DICTIONARIES_BYTES_MAX: usize = 32 << 20;

/// Opens every message.
const MARKER: [u8; 4] = [0xff; 4];
/// What a compressed buffer says of its length if it is not compressed after all.
const NOT_COMPRESSED: i64 = -1;

/// A message that is all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    /// Its length.
    pub(super) bytes: usize,
    /// It says that the stream is over.
    pub(super) is_end: bool,
}

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    has_schema: bool,
    /// Inflated size of each dictionary.
    dictionaries: HashMap<i64, usize>,
}

impl Inspector {
    /// The message at the start of `bytes`; `None` until all of it is there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn next(bytes: &[u8]) -> Result<Option<Message>, String> {
        let Some((header_at, header_bytes)) = opening(bytes) else { return Ok(None) };
        if header_bytes == 0 {
            return Ok(Some(Message { bytes: header_at, is_end: true }));
        }
        if header_bytes > HEADER_BYTES_MAX {
            return Err(format!("a header of {header_bytes} bytes, of at most {HEADER_BYTES_MAX}"));
        }
        let Some(header) = bytes.get(header_at..header_at + header_bytes) else { return Ok(None) };
        let message = root_as_message(header).map_err(|_| "a header that is no message".to_owned())?;
        let body_bytes = usize::try_from(message.bodyLength()).ok().filter(|bytes| *bytes <= MESSAGE_BYTES_MAX);
        let body_bytes = body_bytes.ok_or_else(|| format!("a body of over {MESSAGE_BYTES_MAX} bytes"))?;
        let all = header_at + header_bytes + body_bytes;
        Ok((all <= bytes.len()).then_some(Message { bytes: all, is_end: false }))
    }

    /// Whether a message that is all there may be decoded.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some((header_at, header_bytes)) = opening(bytes).filter(|(_, header_bytes)| *header_bytes > 0) else {
            return Ok(());
        };
        let rest = bytes.get(header_at..).unwrap_or_default();
        let (header, body) = rest.split_at_checked(header_bytes).ok_or("a header that is cut")?;
        let message = root_as_message(header).map_err(|_| "a header that is no message")?;
        match message.header_type() {
            MessageHeader::Schema if self.has_schema => Err("a second schema".to_owned()),
            MessageHeader::Schema => {
                self.has_schema = true;
                schema(message.header_as_schema().ok_or("a schema that is empty")?)
            }
            _ if !self.has_schema => Err("no schema at its beginning".to_owned()),
            MessageHeader::RecordBatch => {
                batch(message.header_as_record_batch().ok_or("a record batch that is empty")?, body).map(|_| ())
            }
            MessageHeader::DictionaryBatch => {
                self.dictionary(message.header_as_dictionary_batch().ok_or("a dictionary that is empty")?, body)
            }
            _ => Err("a message that is neither schema, dictionary nor record batch".to_owned()),
        }
    }

    fn dictionary(&mut self, dictionary: DictionaryBatch<'_>, body: &[u8]) -> Result<(), String> {
        let inflated = batch(dictionary.data().ok_or("a dictionary without values")?, body)?;
        let size = self.dictionaries.entry(dictionary.id()).or_default();
        *size = if dictionary.isDelta() { *size + inflated } else { inflated };
        if self.dictionaries.values().sum::<usize>() > DICTIONARIES_BYTES_MAX || self.dictionaries.len() > COLUMNS_MAX {
            return Err(format!("dictionaries of over {DICTIONARIES_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

/// Where the header of the message at the start of `bytes` begins, and how long it is; `None` until that is there.
fn opening(bytes: &[u8]) -> Option<(usize, usize)> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
    let (at, length) = match word(0)? {
        // What arrow wrote before 0.15 has no marker.
        MARKER => (8, word(4)?),
        length => (4, length),
    };
    Some((at, usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)))
}

fn schema(schema: Schema<'_>) -> Result<(), String> {
    if schema.endianness() != Endianness::Little {
        return Err("numbers with the high byte first".to_owned());
    }
    whole(schema.custom_metadata().into_iter().flatten())?;
    let fields = schema.fields().ok_or("a schema without columns")?;
    if fields.len() > COLUMNS_MAX {
        return Err(format!("{} columns, of at most {COLUMNS_MAX}", fields.len()));
    }
    fields.iter().try_for_each(field)
}

/// Whether a column has a type that can hold something of a point, or nothing.
fn field(field: Field<'_>) -> Result<(), String> {
    whole(field.custom_metadata().into_iter().flatten())?;
    let is_whole_index = field.dictionary().is_none_or(|dictionary| {
        dictionary.indexType().is_some_and(|index| matches!(index.bitWidth(), 8 | 16 | 32 | 64))
    });
    let is_plain = match field.type_type() {
        ipc::Type::Utf8 | ipc::Type::LargeUtf8 | ipc::Type::Utf8View | ipc::Type::Null | ipc::Type::Bool => true,
        ipc::Type::Int => field.type_as_int().is_some_and(|int| matches!(int.bitWidth(), 8 | 16 | 32 | 64)),
        ipc::Type::FloatingPoint => field.type_as_floating_point().is_some_and(|float| {
            let known = [ipc::Precision::HALF, ipc::Precision::SINGLE, ipc::Precision::DOUBLE];
            known.contains(&float.precision())
        }),
        ipc::Type::Timestamp => field.type_as_timestamp().is_some_and(|timestamp| {
            let known = [
                ipc::TimeUnit::SECOND,
                ipc::TimeUnit::MILLISECOND,
                ipc::TimeUnit::MICROSECOND,
                ipc::TimeUnit::NANOSECOND,
            ];
            known.contains(&timestamp.unit())
        }),
        _ => false,
    };
    if is_plain && is_whole_index {
        return Ok(());
    }
    let name: String = field.name().unwrap_or_default().chars().take(64).collect();
    Err(format!("column `{name}` is neither text, number nor timestamp: leave it out"))
}

/// Whether each entry of some metadata has a key and a value.
fn whole<'a>(mut entries: impl Iterator<Item = KeyValue<'a>>) -> Result<(), String> {
    let is_whole = entries.all(|entry| entry.key().is_some() && entry.value().is_some());
    if is_whole { Ok(()) } else { Err("metadata without key or value".to_owned()) }
}

/// How many bytes the buffers of a record batch take, inflated.
fn batch(batch: RecordBatch<'_>, body: &[u8]) -> Result<usize, String> {
    if !(0..=ROWS_MAX).contains(&batch.length()) {
        return Err(format!("a record batch of over {ROWS_MAX} rows"));
    }
    let nodes = batch.nodes().into_iter().flatten();
    for node in nodes {
        if !(0..=ROWS_MAX).contains(&node.length()) || !(0..=node.length()).contains(&node.null_count()) {
            return Err("a column with an impossible length".to_owned());
        }
    }
    let buffers = batch.buffers().ok_or("a record batch without buffers")?;
    let most = i64::try_from(buffers.len()).unwrap_or(i64::MAX);
    if batch.variadicBufferCounts().into_iter().flatten().any(|count| !(0..=most).contains(&count)) {
        return Err("a column of more buffers than there are".to_owned());
    }
    let is_compressed = match batch.compression().map(|compression| compression.codec()) {
        None => false,
        Some(CompressionType::ZSTD) => true,
        Some(_) => return Err("buffers in another compression than zstd".to_owned()),
    };
    let mut inflated: usize = 0;
    for buffer in buffers {
        let start = usize::try_from(buffer.offset()).ok();
        let end = start.zip(usize::try_from(buffer.length()).ok()).and_then(|(start, len)| start.checked_add(len));
        let bytes =
            start.zip(end).and_then(|(start, end)| body.get(start..end)).ok_or("a buffer beyond its message")?;
        inflated = inflated.saturating_add(if is_compressed { inflated_bytes(bytes)? } else { bytes.len() });
        if inflated > MESSAGE_BYTES_MAX {
            return Err(format!("a message of over {MESSAGE_BYTES_MAX} bytes, inflated"));
        }
    }
    Ok(inflated)
}

/// What a buffer says that it inflates to. The decoder holds it to that.
fn inflated_bytes(buffer: &[u8]) -> Result<usize, String> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let length = buffer.first_chunk::<8>().ok_or("a compressed buffer without its length")?;
    match i64::from_le_bytes(*length) {
        NOT_COMPRESSED => Ok(buffer.len() - length.len()),
        length => usize::try_from(length).map_err(|_| "a compressed buffer of negative length".to_owned()),
    }
}
