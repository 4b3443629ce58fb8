//! The header in front of a part of an archive, and the descriptor behind it.
//!
//! | bytes  | of the header  | meaning                                                               |
//! |--------|----------------|-----------------------------------------------------------------------|
//! | 0..4   | `PK\x03\x04`   |                                                                       |
//! | 4..6   | version        | not needed                                                            |
//! | 6..8   | flags          | bit 0: encrypted; bit 3: sums and sizes stand behind the content      |
//! | 8..10  | method         | 0: stored, 8: deflated                                                |
//! | 10..14 | time, date     | when it was written, in local time of nobody knows where               |
//! | 14..18 | checksum       | CRC-32 of the content                                                 |
//! | 18..22 | packed size    | 2^32 - 1: in the extra field 1, 64 bits, behind the other size        |
//! | 22..26 | size           | as above                                                              |
//! | 26..28 | name           | bytes of the name, which follows the header                           |
//! | 28..30 | extra          | bytes of the extra fields, which follow the name                      |
//!
//! The descriptor is the checksum and both sizes, of 4 or 8 bytes each, perhaps with `PK\x07\x08` in front; which of the
//! four forms it is shows where the sizes come out right. All integers are little-endian.

use std::io::{BufRead, Read};

use super::super::Fault;
use super::{Counted, broken};

const HEADER_BYTES: usize = 30;

/// January 1, 1980.
const FIRST_DAY: u16 = 1 << 5 | 1;

/// So much of a name is shown.
const NAME_CHARACTERS_MAX: usize = 200;

pub(super) const PART: &[u8; 4] = b"PK\x03\x04";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
/// The end of an archive.
pub(super) const END: &[u8; 4] = b"PK\x05\x06";
/// What stands behind the last part: the directory, its end in two forms, or something on top of it.
const BEHIND: [&[u8; 4]; 4] = [b"PK\x01\x02", END, b"PK\x06\x06", b"PK\x06\x08"];

/// How a part is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
    Other(u16),
}

/// A part's header.
#[derive(Debug)]
pub(super) struct Part {
    /// For people: without control characters, cut where it is long.
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) is_encrypted: bool,
    pub(super) has_descriptor: bool,
    pub(super) sum: u32,
    /// `None` where it stands behind the content only.
    pub(super) compressed_bytes: Option<u64>,
    /// Microseconds UTC, as if local time were that; `None` where no date stands.
    pub(super) written_at: Option<i64>,
}

/// Reads the next part's header; `None` at the directory.
pub(super) fn next(source: &mut Counted<'_>) -> Result<Option<Part>, Fault> {
    let start = source.at;
    let mut signature = [0; 4];
    fill(source, &mut signature)?;
    if BEHIND.contains(&&signature) {
        return Ok(None);
    }
    if &signature != PART {
        return Err(broken(start, "no part of an archive begins here".to_owned()));
    }
    let mut header = [0; HEADER_BYTES];
    fill(source, header.get_mut(4..).unwrap_or_default())?;
    let half =
        |at: usize| header.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_le_bytes);
    let word =
        |at: usize| header.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_le_bytes);
    let mut name = vec![0; usize::from(half(26))];
    fill(source, &mut name)?;
    let mut extra = vec![0; usize::from(half(28))];
    fill(source, &mut extra)?;
    let flags = half(6);
    let has_descriptor = flags & 8 != 0;
    let compressed_bytes = match (word(18), word(22)) {
        // A writer that streams knows no size yet. One that gives the packed size means it.
        (0, _) if has_descriptor => None,
        (u32::MAX, size) => long(&extra, size == u32::MAX).filter(|bytes| *bytes > 0 || !has_descriptor),
        (packed, _) => Some(u64::from(packed)),
    };
    Ok(Some(Part {
        name: shown(&name),
        method: match half(8) {
            0 => Method::Stored,
            8 => Method::Deflated,
            other => Method::Other(other),
        },
        is_encrypted: flags & 1 != 0,
        has_descriptor,
        sum: word(14),
        compressed_bytes,
        written_at: written_at(half(12), half(10)),
    }))
}

/// Seven bits of years since 1980, four of the month, five of the day; five of hours, six of minutes, five of two seconds.
fn written_at(date: u16, time: u16) -> Option<i64> {
    // Tools that know no time write nothing, or the first day that there is.
    if date <= FIRST_DAY {
        return None;
    }
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31) * 2);
    crate::time::parse(&format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// The packed size of 64 bits, behind the size if that has 64 bits too.
fn long(mut extra: &[u8], behind_size: bool) -> Option<u64> {
    loop {
        let &[id_low, id_high, bytes_low, bytes_high] = extra.first_chunk()?;
        let content = extra.get(4..)?;
        let bytes = usize::from(u16::from_le_bytes([bytes_low, bytes_high]));
        if u16::from_le_bytes([id_low, id_high]) == 1 {
            let at = if behind_size { 8 } else { 0 };
            return content.get(at..bytes)?.first_chunk().copied().map(u64::from_le_bytes);
        }
        extra = content.get(bytes..)?;
    }
}

/// Reads the descriptor behind a part. Returns the checksum that it says, `None` where the content was not inflated.
pub(super) fn descriptor(
    source: &mut Counted<'_>,
    part: &Part,
    inflated: Option<(u64, u32)>,
) -> Result<Option<u32>, Fault> {
    let start = source.at;
    let mut first = [0; 4];
    fill(source, &mut first)?;
    if &first == DESCRIPTOR {
        fill(source, &mut first)?;
    }
    let sum = u32::from_le_bytes(first);
    // Both sizes, of 4 bytes each or of 8: the size that came out tells, or else what begins behind. Of more than 4 GiB
    // some phones write the lower half alone.
    let mut sizes = [0; 8];
    fill(source, &mut sizes)?;
    let size = sizes.get(4..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_le_bytes);
    let is_short = match inflated.map(|(bytes, _)| bytes & u64::from(u32::MAX)) {
        Some(low) if low != 0 => u64::from(size) == low,
        _ => source.fill_buf().map_err(Fault::Io)?.starts_with(b"PK"),
    };
    if is_short {
        return Ok(inflated.map(|_| sum));
    }
    let mut rest = [0; 8];
    fill(source, &mut rest)?;
    match inflated {
        Some((bytes, _)) if u64::from_le_bytes(rest) != bytes => {
            Err(broken(start, format!("no end of `{}` stands here", part.name)))
        }
        _ => Ok(inflated.map(|_| sum)),
    }
}

fn fill(source: &mut Counted<'_>, room: &mut [u8]) -> Result<(), Fault> {
    let start = source.at;
    source.read_exact(room).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => broken(start, "the archive ends in the middle".to_owned()),
        _ => Fault::Io(error),
    })
}

/// A name for people, with its end, which says what it is; nothing of it reaches a file system.
fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let characters: Vec<char> = name.chars().filter(|character| !character.is_control()).collect();
    characters.iter().skip(characters.len().saturating_sub(NAME_CHARACTERS_MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a descriptor of a part that inflated to so many bytes; how much of it was taken.
    fn taken(inflated_bytes: u64, sizes: &[u8], is_marked: bool) -> Result<u64, Fault> {
        let part = Part {
            name: "a".to_owned(),
            method: Method::Deflated,
            is_encrypted: false,
            has_descriptor: true,
            sum: 0,
            compressed_bytes: None,
            written_at: None,
        };
        let mark: &[u8] = if is_marked { DESCRIPTOR } else { b"" };
        let bytes = [mark, &7_u32.to_le_bytes(), sizes, b"PK\x01\x02"].concat();
        let mut source = Counted { source: &mut &bytes[..], at: 0 };
        let sum = descriptor(&mut source, &part, Some((inflated_bytes, 7)))?;
        assert_eq!(sum, Some(7));
        Ok(source.at)
    }

    #[test]
    fn a_part_is_as_old_as_its_header_says_if_it_says_so() {
        let at = |date, time| written_at(date, time).map(crate::time::format);
        assert_eq!(at(0x58A4, 0x3B2F), Some("2024-05-04T07:25:30Z".to_owned()));
        for (date, time) in [(0, 0), (FIRST_DAY, 0), (0x58A0, 0), (0x59A4, 0), (0x58A4, 0xFFFF)] {
            assert_eq!(at(date, time), None, "{date:x} {time:x}");
        }
    }

    #[test]
    fn a_descriptor_is_read_in_all_of_its_forms() {
        let (short, long) = (
            |packed: u32, size: u32| [packed.to_le_bytes(), size.to_le_bytes()].concat(),
            |packed: u64, size: u64| [packed.to_le_bytes(), size.to_le_bytes()].concat(),
        );
        const GIB_4: u64 = 1 << 32;
        for (bytes, sizes) in [
            (5, short(3, 5)),
            (5, long(3, 5)),
            (0, short(2, 0)),
            (0, long(2, 0)),
            (GIB_4 + 5, long(9, GIB_4 + 5)),
            (GIB_4, long(9, GIB_4)),
            // As it should not be, and is.
            (GIB_4 + 5, short(9, 5)),
            (GIB_4, short(9, 0)),
        ] {
            for is_marked in [false, true] {
                let expected = 4 + 4 * u64::from(is_marked) + sizes.len() as u64;
                assert_eq!(taken(bytes, &sizes, is_marked).unwrap(), expected, "{bytes} {sizes:?}");
            }
        }
        assert!(matches!(taken(5, &long(3, 6), false), Err(Fault::Broken { .. })));
    }
}
