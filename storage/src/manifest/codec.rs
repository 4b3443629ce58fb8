//! A manifest version as bytes.
//!
//! Integers are little-endian. A text is its length in two bytes, then UTF-8.
//!
//! | offset | bytes | manifest header |
//! | --- | --- | --- |
//! | 0 | 4 | magic: `AVMF` |
//! | 4 | 4 | version of the format: 2 |
//! | 8 | 8 | `writer`: random number of the process that wrote it |
//! | 16 | 8 | `body_bytes`: length of the body, which is the rest of the object |
//! | 24 | 4 | CRC-32C of the header's first 24 bytes and the body |
//! | 28 | 4 | zero |
//!
//! The body, without padding:
//!
//! | field | bytes | meaning |
//! | --- | --- | --- |
//! | number | 8 | number of the version; the object's name says the same |
//! | next_file_id | 8 | number of the next file to be made |
//! | watermark | 8 | every seq up to it is in the files |
//! | accepted_max_ms | 8 | latest time of acceptance up to the watermark, milliseconds UTC, signed |
//! | erased | 32 | digest of the erasure ledger's entries that were applied; not in version 1 |
//! | files | 4 | number of files |
//! | each file | | the fields below, oldest file first |
//! | tombstones | 4 | number of tombstones |
//! | each tombstone | | the fields below, oldest first |
//!
//! A file:
//!
//! | field | bytes | meaning |
//! | --- | --- | --- |
//! | id | 8 | number of the file |
//! | path | 2 + n | path of the object |
//! | metric | 2 + n | key of the metric |
//! | level | 1 | 0 or 1 |
//! | month | 4 | months since January 1970, signed; 0 at level 0 |
//! | rows | 8 | points |
//! | bytes | 8 | length of the object |
//! | first_seq, last_seq | 8 + 8 | seqs that went into it, inclusive |
//! | clean_through | 8 | manifest version whose tombstones were all applied to it |
//! | user_min, user_max | 12 + 12 | users in it, inclusive |
//! | time_min, time_max | 8 + 8 | times in it, inclusive, microseconds UTC, signed |
//! | accepted_max_ms | 8 | latest time of acceptance in it, milliseconds UTC, signed |
//!
//! A tombstone:
//!
//! | field | bytes | meaning |
//! | --- | --- | --- |
//! | seq | 8 | points with a greater seq came later |
//! | version | 8 | manifest version that brought it |
//! | created_ms | 8 | when it was made, milliseconds UTC, signed |
//! | kind | 1 | 0: a range of one metric; 1: everything of a user |
//! | user | 12 | whose points |
//! | metric | 2 + n | key of the metric; only in kind 0 |
//! | start, end | 8 + 8 | times, end exclusive, microseconds UTC, signed; only in kind 0 |

use std::path::Path;

use super::{DIGEST_BYTES, FileMeta, Level, Scope, Tombstone, Version, invariants};
use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::point::{Seq, TimeRange, USER_ID_BYTES, UserId};

/// First bytes of a manifest.
pub(crate) const MAGIC: [u8; 4] = *b"AVMF";
/// Version of the format.
pub(crate) const VERSION: u32 = 2;
/// Before there was a ledger of erased people.
const VERSION_WITHOUT_LEDGER: u32 = 1;
/// Length of the header.
pub(crate) const HEADER_BYTES: usize = 32;

const CRC_AT: usize = 24;
/// The smallest file and tombstone: a count cannot make us allocate more than the object is long.
const FILE_BYTES_MIN: usize = 8 + 2 + 2 + 1 + 4 + 8 + 8 + 8 + 8 + 8 + 2 * USER_ID_BYTES + 8 + 8 + 8;
const TOMBSTONE_BYTES_MIN: usize = 8 + 8 + 8 + 1 + USER_ID_BYTES;

/// The bytes of a version.
///
/// # Errors
/// [`Error::Invariant`] if a text or a list is too long for its length field.
pub(crate) fn encode(version: &Version, writer: u64) -> Result<Vec<u8>> {
    let too_long = || Error::Invariant { version: version.number, what: "texts and lists fit their length fields" };
    let body = encode_body(version).ok_or_else(too_long)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&writer.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &body);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn encode_body(version: &Version) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64 + version.files.len() * 256);
    for field in [version.number, version.next_file_id, version.watermark.0] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&version.accepted_max_ms.to_le_bytes());
    out.extend_from_slice(&version.erased);
    out.extend_from_slice(&u32::try_from(version.files.len()).ok()?.to_le_bytes());
    for file in &version.files {
        encode_file(&mut out, file)?;
    }
    out.extend_from_slice(&u32::try_from(version.tombstones.len()).ok()?.to_le_bytes());
    for tombstone in &version.tombstones {
        encode_tombstone(&mut out, tombstone)?;
    }
    Some(out)
}

fn encode_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

fn encode_file(out: &mut Vec<u8>, file: &FileMeta) -> Option<()> {
    out.extend_from_slice(&file.id.to_le_bytes());
    encode_text(out, &file.path)?;
    encode_text(out, &file.metric)?;
    let (level, month) = match file.level {
        Level::Zero => (0, 0),
        Level::One { month } => (1, month),
    };
    out.push(level);
    out.extend_from_slice(&month.to_le_bytes());
    for field in [file.rows, file.bytes, file.first_seq.0, file.last_seq.0, file.clean_through] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(file.user_min.as_bytes());
    out.extend_from_slice(file.user_max.as_bytes());
    for field in [file.time_min, file.time_max, file.accepted_max_ms] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    Some(())
}

fn encode_tombstone(out: &mut Vec<u8>, tombstone: &Tombstone) -> Option<()> {
    out.extend_from_slice(&tombstone.seq.0.to_le_bytes());
    out.extend_from_slice(&tombstone.version.to_le_bytes());
    out.extend_from_slice(&tombstone.created_ms.to_le_bytes());
    match &tombstone.scope {
        Scope::Range { user, metric, times } => {
            out.push(0);
            out.extend_from_slice(user.as_bytes());
            encode_text(out, metric)?;
            out.extend_from_slice(&times.start.to_le_bytes());
            out.extend_from_slice(&times.end.to_le_bytes());
        }
        Scope::User(user) => {
            out.push(1);
            out.extend_from_slice(user.as_bytes());
        }
    }
    Some(())
}

/// Reads a version; `path` is for the error.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are not what [`encode`] writes or break an invariant; [`Error::Version`] if a newer
/// program wrote them.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Version> {
    let corrupt =
        |offset: usize, what: String| Error::Corrupt { path: path.to_path_buf(), offset: offset as u64, what };
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(corrupt(0, format!("{} bytes are too short for a manifest", bytes.len())));
    };
    let mut cursor = Cursor::new(header);
    let magic = cursor.array();
    let (version, _writer, body_bytes) = (cursor.u32(), cursor.u64(), cursor.u64());
    let (crc, zero) = (cursor.u32(), cursor.u32());
    if magic != Some(MAGIC) {
        return Err(corrupt(0, "its magic is wrong".to_owned()));
    }
    if body_bytes != Some(body.len() as u64) || zero != Some(0) {
        return Err(corrupt(16, format!("its length is not {} as its header says", body_bytes.unwrap_or_default())));
    }
    let found = crc32c::crc32c_append(crc32c::crc32c(header.get(..CRC_AT).unwrap_or_default()), body);
    if crc != Some(found) {
        return Err(corrupt(CRC_AT, "its checksum is wrong".to_owned()));
    }
    let has_ledger = match version {
        Some(VERSION) => true,
        Some(VERSION_WITHOUT_LEDGER) => false,
        found => {
            let (path, found) = (path.to_path_buf(), found.unwrap_or_default());
            return Err(Error::Version { path, found, known: VERSION });
        }
    };
    let mut cursor = Cursor::new(body);
    let decoded = decode_body(&mut cursor, has_ledger).filter(|_| cursor.rest().is_empty());
    let version =
        decoded.ok_or_else(|| corrupt(HEADER_BYTES + cursor.at(), "its body is not of its format".to_owned()))?;
    invariants::check(&version).map_err(|error| corrupt(HEADER_BYTES, error.to_string()))?;
    Ok(version)
}

fn decode_body(cursor: &mut Cursor<'_>, has_ledger: bool) -> Option<Version> {
    let (number, next_file_id, watermark) = (cursor.u64()?, cursor.u64()?, Seq(cursor.u64()?));
    let accepted_max_ms = cursor.i64()?;
    let erased = if has_ledger { cursor.array()? } else { [0; DIGEST_BYTES] };
    let files = decode_list(cursor, FILE_BYTES_MIN, decode_file)?;
    let tombstones = decode_list(cursor, TOMBSTONE_BYTES_MIN, decode_tombstone)?;
    Some(Version { number, next_file_id, watermark, accepted_max_ms, erased, files, tombstones })
}

fn decode_list<T>(
    cursor: &mut Cursor<'_>,
    bytes_min: usize,
    decode: fn(&mut Cursor<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = cursor.u32()? as usize;
    if count > cursor.rest().len() / bytes_min {
        return None;
    }
    (0..count).map(|_| decode(cursor)).collect()
}

fn decode_text(cursor: &mut Cursor<'_>) -> Option<String> {
    let len = usize::from(cursor.u16()?);
    cursor.text(len).map(str::to_owned)
}

fn decode_user(cursor: &mut Cursor<'_>) -> Option<UserId> {
    UserId::parse(cursor.text(USER_ID_BYTES)?)
}

fn decode_file(cursor: &mut Cursor<'_>) -> Option<FileMeta> {
    Some(FileMeta {
        id: cursor.u64()?,
        path: decode_text(cursor)?,
        metric: decode_text(cursor)?,
        level: match (cursor.u8()?, cursor.i32()?) {
            (0, 0) => Level::Zero,
            (1, month) => Level::One { month },
            _ => return None,
        },
        rows: cursor.u64()?,
        bytes: cursor.u64()?,
        first_seq: Seq(cursor.u64()?),
        last_seq: Seq(cursor.u64()?),
        clean_through: cursor.u64()?,
        user_min: decode_user(cursor)?,
        user_max: decode_user(cursor)?,
        time_min: cursor.i64()?,
        time_max: cursor.i64()?,
        accepted_max_ms: cursor.i64()?,
    })
}

fn decode_tombstone(cursor: &mut Cursor<'_>) -> Option<Tombstone> {
    let (seq, version, created_ms) = (Seq(cursor.u64()?), cursor.u64()?, cursor.i64()?);
    let kind = cursor.u8()?;
    let user = decode_user(cursor)?;
    let scope = match kind {
        0 => Scope::Range {
            user,
            metric: decode_text(cursor)?,
            times: TimeRange { start: cursor.i64()?, end: cursor.i64()? },
        },
        1 => Scope::User(user),
        _ => return None,
    };
    Some(Tombstone { seq, version, scope, created_ms })
}
