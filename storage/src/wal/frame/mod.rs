//! One frame of the log: the batches of one group commit, in columns, valid as a whole or not at all.
//!
//! Integers and floats are little-endian. A frame is a header, then a body; both are a multiple of 8 bytes long, and
//! frames begin at multiples of 8 in their file.
//!
//! | offset | bytes | frame header |
//! | --- | --- | --- |
//! | 0 | 4 | magic: `AVF1` for points, `AVG1` for a gap |
//! | 4 | 4 | `body_bytes`: length of the body, a multiple of 8 |
//! | 8 | 8 | `first_seq`: seq of the first point, at least 1 |
//! | 16 | 8 | `synced_through`: every seq up to this one was durable when the frame was written; less than `first_seq` |
//! | 24 | 8 | `accepted_at_ms`: milliseconds since 1970 UTC, signed |
//! | 32 | 4 | `count`: points in the frame, at least 1; 0 in a gap |
//! | 36 | 4 | zero |
//! | 40 | 4 | `body_crc`: checksum of the body |
//! | 44 | 4 | `header_crc`: checksum of the 44 bytes before |
//!
//! Checksums are CRC-32C that does not start from 0 but goes on from the salt in the file's header (as if the salt were
//! the checksum of earlier bytes). So a frame of another file is never taken for one of this file, nor is one that
//! a client hid in its values: it cannot know the salt.
//!
//! The body of points, without padding between the fields:
//!
//! | field | bytes | meaning |
//! | --- | --- | --- |
//! | metrics | 2 | number of metric keys |
//! | key, for each metric | 1 + n | length, then the key |
//! | batches | 4 | number of batches |
//! | each batch | | the fields below |
//! | zeros | 0 to 7 | up to a multiple of 8 |
//!
//! A batch:
//!
//! | field | bytes | meaning |
//! | --- | --- | --- |
//! | user | 12 | id of the user |
//! | rows | 4 | number of points, 1 to 65,536 |
//! | parts | 2 | number of parts, in row order |
//! | origins | 2 | number of (source, device) pairs minus 1 |
//! | each part | 2 + 4 | index of the metric's key, number of its rows |
//! | each origin | 2 + 2 + n + m | length n of the source, length m of the device plus 1 (0: no device), both texts |
//! | width | 1 | 0: one origin for all rows; 1: a byte a row; 2: two bytes a row |
//! | origin | 2, rows or 2 × rows | index of the origin |
//! | recorded_at | 8 × rows | microseconds since 1970 UTC, signed |
//! | value | 8 × rows | IEEE 754 double, finite |
//!
//! The body of a gap, which `repair` writes where points were lost: 8 bytes, the number of seqs that are lost.

use std::sync::Arc;

use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::point::{BATCH_POINTS_MAX, METRICS_MAX, MetricId, Origins, Part, PointBatch, Seq, USER_ID_BYTES, UserId};

/// First bytes of a frame of points.
pub(crate) const MAGIC_POINTS: [u8; 4] = *b"AVF1";
/// First bytes of a frame that stands for lost points.
pub(crate) const MAGIC_GAP: [u8; 4] = *b"AVG1";
/// Length of a frame's header.
pub(crate) const HEADER_BYTES: usize = 48;
/// Frames begin at multiples of this.
pub(crate) const ALIGN_BYTES: usize = 8;

const BODY_BYTES_AT: usize = 4;
const COUNT_AT: usize = 32;
const BODY_CRC_AT: usize = 40;
const HEADER_CRC_AT: usize = 44;

/// No entry in the table from metric id to its place in the frame.
const NO_METRIC: u16 = u16::MAX;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Nothing was ever written here: the header is zeros.
    #[error("no frame")]
    Blank,
    /// The bytes end before the frame does.
    #[error("the file ends inside a frame")]
    Torn,
    /// A magic, a checksum or a length is wrong.
    #[error("{0}")]
    Corrupt(&'static str),
    /// The frame is sound, but its metrics cannot be taken.
    #[error(transparent)]
    Metric(#[from] Error),
}

/// Writes a frame of points, without its checksums, into `out`, replacing what was in it. Returns the number of points.
/// [`seal`] completes it. Allocates nothing per point; `out` keeps its memory.
///
/// # Errors
/// [`Error::Batch`] if there is no batch, a metric has no name, or the frame would be larger than its length field.
pub fn encode(
    out: &mut Vec<u8>,
    first_seq: Seq,
    synced_through: Seq,
    accepted_at_ms: i64,
    batches: &[Arc<PointBatch>],
    names: &[Arc<str>],
) -> Result<u64> {
    let rows: usize = batches.iter().map(|batch| batch.len()).sum();
    let count = u32::try_from(rows).map_err(|_| too_large())?;
    if count == 0 {
        return Err(Error::Batch { what: "a frame holds at least one point" });
    }
    begin(out, MAGIC_POINTS, first_seq, synced_through, accepted_at_ms);
    put(out, COUNT_AT, count.to_le_bytes());
    out.reserve(rows * 18 + batches.len() * 128);
    let places = write_metrics(out, batches, names)?;
    out.extend_from_slice(&u32::try_from(batches.len()).map_err(|_| too_large())?.to_le_bytes());
    for batch in batches {
        write_batch(out, batch, &places)?;
    }
    end(out)?;
    Ok(u64::from(count))
}

/// Writes a frame that says that `lost` seqs from `first_seq` are gone, without its checksums.
///
/// # Errors
/// None in practice; the same type as [`encode`].
pub(crate) fn encode_gap(out: &mut Vec<u8>, first_seq: Seq, lost: u64) -> Result<()> {
    begin(out, MAGIC_GAP, first_seq, Seq(first_seq.0.saturating_sub(1)), 0);
    out.extend_from_slice(&lost.to_le_bytes());
    end(out)
}

/// Computes the checksums of an encoded frame for the file with this salt. Can be repeated with another salt.
pub fn seal(frame: &mut [u8], salt: u32) {
    let body_crc = crc32c::crc32c_append(salt, frame.get(HEADER_BYTES..).unwrap_or_default());
    put(frame, BODY_CRC_AT, body_crc.to_le_bytes());
    let header_crc = crc32c::crc32c_append(salt, frame.get(..HEADER_CRC_AT).unwrap_or_default());
    put(frame, HEADER_CRC_AT, header_crc.to_le_bytes());
}

fn too_large() -> Error {
    Error::Batch { what: "a frame holds at most 4 GiB" }
}

fn begin(out: &mut Vec<u8>, magic: [u8; 4], first_seq: Seq, synced_through: Seq, accepted_at_ms: i64) {
    out.clear();
    out.extend_from_slice(&magic);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&first_seq.0.to_le_bytes());
    out.extend_from_slice(&synced_through.0.to_le_bytes());
    out.extend_from_slice(&accepted_at_ms.to_le_bytes());
    out.resize(HEADER_BYTES, 0);
}

fn end(out: &mut Vec<u8>) -> Result<()> {
    out.resize(out.len().next_multiple_of(ALIGN_BYTES), 0);
    let body_bytes = u32::try_from(out.len() - HEADER_BYTES).map_err(|_| too_large())?;
    put(out, BODY_BYTES_AT, body_bytes.to_le_bytes());
    Ok(())
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(space) = bytes.get_mut(at..at + N) {
        space.copy_from_slice(&value);
    }
}

/// Writes the keys of the metrics that occur, and returns where each id's key is.
fn write_metrics(out: &mut Vec<u8>, batches: &[Arc<PointBatch>], names: &[Arc<str>]) -> Result<Vec<u16>> {
    let mut places = vec![NO_METRIC; names.len()];
    let count_at = out.len();
    let mut count = 0_u16;
    out.extend_from_slice(&count.to_le_bytes());
    for part in batches.iter().flat_map(|batch| batch.parts()) {
        let nameless = Error::Batch { what: "a metric has no name" };
        let (Some(place), Some(name)) = (places.get_mut(part.metric.index()), names.get(part.metric.index())) else {
            return Err(nameless);
        };
        if *place == NO_METRIC {
            *place = count;
            count += 1;
            out.push(u8::try_from(name.len()).map_err(|_| nameless)?);
            out.extend_from_slice(name.as_bytes());
        }
    }
    put(out, count_at, count.to_le_bytes());
    Ok(places)
}

fn write_batch(out: &mut Vec<u8>, batch: &PointBatch, places: &[u16]) -> Result<()> {
    let short = |len: usize| u16::try_from(len).map_err(|_| Error::Batch { what: "an origin or a part is too long" });
    out.extend_from_slice(batch.user().as_bytes());
    out.extend_from_slice(&u32::try_from(batch.len()).map_err(|_| too_large())?.to_le_bytes());
    out.extend_from_slice(&short(batch.parts().len())?.to_le_bytes());
    out.extend_from_slice(&short(batch.origins().len().saturating_sub(1))?.to_le_bytes());
    for part in batch.parts() {
        let place = places.get(part.metric.index()).copied().unwrap_or(NO_METRIC);
        out.extend_from_slice(&place.to_le_bytes());
        out.extend_from_slice(&(part.end - part.start).to_le_bytes());
    }
    for (source, device) in batch.origins().iter() {
        out.extend_from_slice(&short(source.len())?.to_le_bytes());
        out.extend_from_slice(&short(device.map_or(0, |device| device.len() + 1))?.to_le_bytes());
        out.extend_from_slice(source.as_bytes());
        out.extend_from_slice(device.unwrap_or_default().as_bytes());
    }
    write_origin(out, batch);
    write_column(out, batch.recorded_at(), i64::to_le_bytes);
    write_column(out, batch.value(), f64::to_le_bytes);
    Ok(())
}

fn write_origin(out: &mut Vec<u8>, batch: &PointBatch) {
    let origin = batch.origin();
    let first = origin.first().copied().unwrap_or_default();
    if batch.origins().len() == 1 || origin.iter().all(|index| *index == first) {
        out.push(0);
        out.extend_from_slice(&first.to_le_bytes());
    } else if batch.origins().len() <= 1 << 8 {
        out.push(1);
        out.extend(origin.iter().map(|index| index.to_le_bytes()[0]));
    } else {
        out.push(2);
        write_column(out, origin, u16::to_le_bytes);
    }
}

/// Appends a column; compiles to a copy of memory on little-endian machines.
fn write_column<T: Copy, const N: usize>(out: &mut Vec<u8>, column: &[T], to_bytes: fn(T) -> [u8; N]) {
    let start = out.len();
    out.resize(start + column.len() * N, 0);
    let (slots, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<N>();
    for (slot, value) in slots.iter_mut().zip(column) {
        *slot = to_bytes(*value);
    }
}

/// A frame whose checksums hold, over the bytes of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Seq of its first point.
    pub(crate) first_seq: Seq,
    /// Seqs that it covers, at least 1.
    pub(crate) count: u64,
    /// Every seq up to this one was durable when it was written.
    pub(crate) synced_through: Seq,
    /// When the group was committed, milliseconds UTC.
    pub(crate) accepted_at_ms: i64,
    /// Whether it stands for points that are lost.
    pub(crate) is_gap: bool,
    body: &'a [u8],
}

/// Reads the frame at the beginning of `bytes`. Cost: one checksum over it; copies nothing.
///
/// # Errors
/// [`DecodeError::Blank`], [`DecodeError::Torn`] or [`DecodeError::Corrupt`].
pub(crate) fn decode(bytes: &[u8], salt: u32) -> Result<Frame<'_>, DecodeError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        return Err(if is_blank { DecodeError::Blank } else { DecodeError::Torn });
    };
    let is_gap = header.starts_with(&MAGIC_GAP);
    if !is_gap && !header.starts_with(&MAGIC_POINTS) {
        let is_blank = header.iter().all(|byte| *byte == 0);
        return Err(if is_blank { DecodeError::Blank } else { DecodeError::Corrupt("a frame's magic is wrong") });
    }
    let header_crc = crc32c::crc32c_append(salt, header.get(..HEADER_CRC_AT).unwrap_or_default());
    let mut cursor = Cursor::new(header);
    let mut fields = || {
        cursor.u32()?;
        let body_bytes = cursor.u32()?;
        let (first_seq, synced_through) = (cursor.u64()?, cursor.u64()?);
        let (accepted_at_ms, count, zero) = (cursor.i64()?, cursor.u32()?, cursor.u32()?);
        let (body_crc, crc) = (cursor.u32()?, cursor.u32()?);
        let is_sane = crc == header_crc && zero == 0 && first_seq > synced_through && (count == 0) == is_gap;
        is_sane.then_some((body_bytes, first_seq, synced_through, accepted_at_ms, count, body_crc))
    };
    let Some((body_bytes, first_seq, synced_through, accepted_at_ms, count, body_crc)) = fields() else {
        return Err(DecodeError::Corrupt("the checksum of a frame's header is wrong"));
    };
    let body = rest.get(..body_bytes as usize).ok_or(DecodeError::Torn)?;
    if !body.len().is_multiple_of(ALIGN_BYTES) || crc32c::crc32c_append(salt, body) != body_crc {
        return Err(DecodeError::Corrupt("the checksum of a frame's body is wrong"));
    }
    let count = match body.first_chunk::<8>() {
        Some(lost) if is_gap => u64::from_le_bytes(*lost),
        _ => u64::from(count),
    };
    if count == 0 || first_seq.checked_add(count).is_none() {
        return Err(DecodeError::Corrupt("a frame's seqs are out of range"));
    }
    let (first_seq, synced_through) = (Seq(first_seq), Seq(synced_through));
    Ok(Frame { first_seq, count, synced_through, accepted_at_ms, is_gap, body })
}

impl Frame<'_> {
    /// Length of the whole frame in its file.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Seq of its last point.
    pub(crate) fn last_seq(&self) -> Seq {
        Seq(self.first_seq.0 + (self.count - 1))
    }

    /// The batches in order; none for a gap. `intern` is asked once per metric and frame.
    ///
    /// # Errors
    /// [`DecodeError::Corrupt`] if the body is not what [`encode`] writes (checksums held, so somebody wrote it so);
    /// [`DecodeError::Metric`] if `intern` refuses.
    pub(crate) fn batches(
        &self,
        intern: &mut dyn FnMut(&str) -> Result<MetricId>,
    ) -> Result<Vec<PointBatch>, DecodeError> {
        const BROKEN: DecodeError = DecodeError::Corrupt("a frame's body is not of its format");
        if self.is_gap {
            return Ok(Vec::new());
        }
        let mut cursor = Cursor::new(self.body);
        let metrics = usize::from(cursor.u16().ok_or(BROKEN)?);
        if metrics > METRICS_MAX {
            return Err(BROKEN);
        }
        let mut ids = Vec::with_capacity(metrics);
        for _ in 0..metrics {
            let len = usize::from(cursor.u8().ok_or(BROKEN)?);
            ids.push(intern(cursor.text(len).ok_or(BROKEN)?)?);
        }
        let count = cursor.u32().ok_or(BROKEN)? as usize;
        let mut batches = Vec::with_capacity(count.min(cursor.rest().len() / BATCH_BYTES_MIN));
        let mut rows = 0_u64;
        for _ in 0..count {
            let batch = read_batch(&mut cursor, &ids).ok_or(BROKEN)?;
            rows += batch.len() as u64;
            batches.push(batch);
        }
        let is_padding = cursor.rest().len() < ALIGN_BYTES && cursor.rest().iter().all(|byte| *byte == 0);
        if rows == self.count && is_padding { Ok(batches) } else { Err(BROKEN) }
    }
}

/// The smallest batch: one point of one metric from one origin without a name.
const BATCH_BYTES_MIN: usize = USER_ID_BYTES + 4 + 2 + 2 + 6 + 4 + 1 + 2 + 8 + 8;

fn read_batch(cursor: &mut Cursor<'_>, ids: &[MetricId]) -> Option<PointBatch> {
    let user = UserId::parse(cursor.text(USER_ID_BYTES)?)?;
    let rows = cursor.u32()? as usize;
    let (parts_len, origins_len) = (cursor.u16()?, usize::from(cursor.u16()?) + 1);
    // Each row takes 16 bytes: a length that lies cannot make us allocate more than the frame is long.
    if rows > BATCH_POINTS_MAX || rows * 16 > cursor.rest().len() {
        return None;
    }
    let mut parts = Vec::with_capacity(usize::from(parts_len).min(ids.len()));
    let mut start = 0_u32;
    for _ in 0..parts_len {
        let metric = *ids.get(usize::from(cursor.u16()?))?;
        let end = start.checked_add(cursor.u32()?)?;
        parts.push(Part { metric, start, end });
        // `PointBatch::new` looks for doubles by comparing all pairs: bound their number first.
        if parts.len() > ids.len() {
            return None;
        }
        start = end;
    }
    let mut origins = Origins::default();
    for nth in 0..origins_len {
        let (source_len, device_len) = (usize::from(cursor.u16()?), usize::from(cursor.u16()?));
        let source = cursor.text(source_len)?;
        let device = match device_len.checked_sub(1) {
            None => None,
            Some(len) => Some(cursor.text(len)?),
        };
        // A pair that is there already would shift every index behind it.
        if usize::from(origins.intern(source, device)?) != nth {
            return None;
        }
    }
    let origin = match cursor.u8()? {
        0 => vec![cursor.u16()?; rows],
        1 => cursor.take(rows)?.iter().map(|index| u16::from(*index)).collect(),
        2 => read_column(cursor, rows, u16::from_le_bytes)?,
        _ => return None,
    };
    let recorded_at = read_column(cursor, rows, i64::from_le_bytes)?;
    let value = read_column(cursor, rows, f64::from_le_bytes)?;
    PointBatch::new(user, parts, recorded_at, value, origin, origins).ok()
}

fn read_column<T, const N: usize>(cursor: &mut Cursor<'_>, rows: usize, from: fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, _) = cursor.take(rows.checked_mul(N)?)?.as_chunks::<N>();
    Some(chunks.iter().map(|chunk| from(*chunk)).collect())
}

#[cfg(test)]
mod tests;
