//! The directory at an archive's end.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::super::Metered;
use super::super::document::broken;
use super::DOCUMENTS_MAX;
use super::part::Part;
use crate::import::Fault;

/// Parts that an archive may have. A person with 20 years of workouts has some ten thousand.
pub(super) const PARTS_MAX: u64 = 1_000_000;
/// Bytes of the record that ends an archive, without its comment.
const END_BYTES: usize = 22;
/// The longest comment.
const COMMENT_BYTES_MAX: u64 = 65_535;
/// Bytes of an entry, without its name and what follows it.
const ENTRY_BYTES: usize = 46;
/// Bytes of the record that says where the large end record stands, right before the small one.
const LOCATOR_BYTES: u64 = 20;
/// Bytes of the large end record that are read.
const LARGE_END_BYTES: usize = 56;

/// Where the directory stands, and how many parts it lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directory {
    at: u64,
    parts: u64,
}

impl Directory {
    /// Finds the directory; `None` if the archive has no end.
    pub(super) fn find<R: Read + Seek>(file: &mut Metered<'_, R>, length: u64) -> Result<Option<Self>, Fault> {
        let tail_at = length.saturating_sub(COMMENT_BYTES_MAX + 22);
        file.seek(SeekFrom::Start(tail_at))?;
        let mut tail = Vec::new();
        file.by_ref().take(COMMENT_BYTES_MAX + 22).read_to_end(&mut tail)?;
        let Some(place) = tail.windows(END_BYTES).rposition(|window| window.starts_with(b"PK\x05\x06")) else {
            return Ok(None);
        };
        let end = tail.get(place..).unwrap_or_default();
        let (parts, bytes, at) = (u64::from(u16_at(end, 10)), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
        let end_at = tail_at + u64::try_from(place).unwrap_or_default();
        let is_large = parts == 0xffff || bytes == 0xffff_ffff || at == 0xffff_ffff;
        let directory = match is_large.then(|| Self::large(file, end_at)).transpose()?.flatten() {
            Some(large) => large,
            None => Self { at, parts },
        };
        if directory.parts > PARTS_MAX {
            let what = format!("the archive has {} parts; at most {PARTS_MAX} are read", directory.parts);
            return Err(broken(end_at, what));
        }
        if directory.at > end_at {
            return Err(broken(end_at, "the archive's directory stands behind its end".to_owned()));
        }
        Ok(Some(directory))
    }

    /// The directory of an archive beyond 4 GiB or 65,535 parts.
    fn large<R: Read + Seek>(file: &mut Metered<'_, R>, end_at: u64) -> io::Result<Option<Self>> {
        let Some(locator_at) = end_at.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
        let mut locator = Vec::new();
        file.seek(SeekFrom::Start(locator_at))?;
        file.by_ref().take(LOCATOR_BYTES).read_to_end(&mut locator)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(u64_at(&locator, 8)))?;
        file.by_ref().take(56).read_to_end(&mut end)?;
        let is_whole = end.starts_with(b"PK\x06\x06") && end.len() == LARGE_END_BYTES;
        Ok(is_whole.then(|| Self { at: u64_at(&end, 48), parts: u64_at(&end, 32) }))
    }

    /// The parts that may be exports, in the directory's order.
    pub(super) fn documents<R: Read + Seek>(&self, file: &mut Metered<'_, R>) -> Result<Vec<Part>, Fault> {
        file.seek(SeekFrom::Start(self.at))?;
        let mut input = BufReader::new(file);
        let mut found = Vec::new();
        let mut at = self.at;
        let mut variable = Vec::new();
        for _ in 0..self.parts {
            let mut entry = [0; ENTRY_BYTES];
            let wrong = |what: &str| broken(at, format!("the archive's directory: {what}"));
            match input.read_exact(&mut entry) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(wrong("it ends too early")),
                other => other?,
            }
            if !entry.starts_with(b"PK\x01\x02") {
                return Err(wrong("this is no entry"));
            }
            let (name_bytes, extra_bytes, comment_bytes) = (u16_at(&entry, 28), u16_at(&entry, 30), u16_at(&entry, 32));
            let bytes = u64::from(name_bytes) + u64::from(extra_bytes) + u64::from(comment_bytes);
            variable.clear();
            input.by_ref().take(bytes).read_to_end(&mut variable)?;
            let (name, rest) =
                variable.split_at_checked(usize::from(name_bytes)).ok_or_else(|| wrong("it ends too early"))?;
            let part = entry_part(&entry, name, rest.get(..usize::from(extra_bytes)).unwrap_or_default());
            if part.is_document() {
                if found.len() >= DOCUMENTS_MAX {
                    return Err(wrong(&format!("more than {DOCUMENTS_MAX} parts end in .xml")));
                }
                found.push(part);
            }
            at += 46 + bytes;
        }
        Ok(found)
    }
}

/// What an entry of the directory says.
fn entry_part(entry: &[u8], name: &[u8], extra: &[u8]) -> Part {
    let (flags, method, crc) = (u16_at(entry, 8), u16_at(entry, 10), u32_at(entry, 16));
    let (mut packed_bytes, content_bytes) = (u64::from(u32_at(entry, 20)), u32_at(entry, 24));
    let mut header_at = u64::from(u32_at(entry, 42));
    // What does not fit stands in the extra field 1, in this order, and only what does not fit.
    let mut large = extra_field(extra, 1);
    let mut next = || {
        let (number, rest) = large.split_at_checked(8)?;
        large = rest;
        Some(u64_at(number, 0))
    };
    if content_bytes == 0xffff_ffff {
        next();
    }
    if packed_bytes == 0xffff_ffff {
        packed_bytes = next().unwrap_or(packed_bytes);
    }
    if header_at == 0xffff_ffff {
        header_at = next().unwrap_or(header_at);
    }
    Part::new(name, header_at, method, flags, packed_bytes, Some(crc))
}

/// The field of this id among the extra ones.
fn extra_field(mut extra: &[u8], id: u16) -> &[u8] {
    while extra.len() >= 4 {
        let (found, bytes) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = extra.get(4..).unwrap_or_default();
        if found == id {
            return field.get(..bytes).unwrap_or_default();
        }
        extra = field.get(bytes..).unwrap_or_default();
    }
    &[]
}

/// Numbers are little-endian; one that is not there is 0.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}
