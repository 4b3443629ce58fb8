//! The header in front of a page, in Thrift's compact protocol, as far as a reader of our files needs it.
//!
//! A field is one byte, whose upper half is the distance from the number of the field before and whose lower half is
//! the type; then its content. Integers are zigzag varints. What is not needed is skipped, whatever it is.
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>, and `parquet.thrift`.)

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values, or keys into the dictionary; with definition levels before them where the column is optional.
    Data,
    /// The dictionary of a row group's column.
    Dictionary,
}

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// One after the other, little-endian; texts behind their length.
    Plain,
    /// Runs and packed bits.
    Rle,
    /// Blocks of packed differences.
    Delta,
    /// Keys into the dictionary, as runs and packed bits.
    Dictionary,
    /// First all values' first bytes, then all second ones, ...
    ByteStreamSplit,
}

/// The header of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// What follows.
    pub(super) kind: Kind,
    /// Values in it, nulls counted.
    pub(super) values: usize,
    /// How they are laid out.
    pub(super) encoding: Encoding,
    /// Length of the content, inflated.
    pub(super) content_bytes: usize,
}

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;
/// Structs in structs that a header may have; a sound one has three.
const DEPTH_MAX: u8 = 8;

/// Reads the header at the start of `bytes`: the header, and the content behind it as it is in the file. `None` if
/// this is no page of ours.
pub(super) fn read(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let mut thrift = Thrift { rest: bytes };
    let (mut kind, mut content_bytes, mut stored_bytes, mut inner) = (None, None, None, None);
    let mut field = 0;
    while let Some((number, content)) = thrift.field(&mut field)? {
        match number {
            1 => {
                kind = Some(match thrift.integer()? {
                    0 => Kind::Data,
                    2 => Kind::Dictionary,
                    _ => return None,
                });
            }
            2 => content_bytes = Some(usize::try_from(thrift.integer()?).ok()?),
            3 => stored_bytes = Some(usize::try_from(thrift.integer()?).ok()?),
            // Data page and dictionary page begin alike.
            5 | 7 if content == STRUCT => inner = Some(thrift.values()?),
            _ => thrift.skip(content, 0)?,
        }
    }
    let (values, encoding) = inner?;
    let content = thrift.rest.get(..stored_bytes?)?;
    Some((Header { kind: kind?, values, encoding, content_bytes: content_bytes? }, content))
}

struct Thrift<'a> {
    rest: &'a [u8],
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        super::bits::varint(&mut self.rest)
    }

    fn integer(&mut self) -> Option<i64> {
        self.varint().map(super::bits::zigzag)
    }

    /// Number and type of the next field of a struct; the inner `None` at its end.
    #[expect(clippy::option_option, reason = "the end of a struct is not the end of the bytes")]
    fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        let content = head & 15;
        if content == STOP {
            return Some(None);
        }
        *last = match head >> 4 {
            0 => self.integer()?,
            distance => last.checked_add(i64::from(distance))?,
        };
        Some(Some((*last, content)))
    }

    /// Number of values and encoding, of the header of a data page or of a dictionary page.
    fn values(&mut self) -> Option<(usize, Encoding)> {
        let (mut values, mut encoding) = (None, None);
        let mut field = 0;
        while let Some((number, content)) = self.field(&mut field)? {
            match number {
                1 => values = Some(usize::try_from(self.integer()?).ok()?),
                2 => {
                    encoding = Some(match self.integer()? {
                        0 => Encoding::Plain,
                        3 => Encoding::Rle,
                        5 => Encoding::Delta,
                        2 | 8 => Encoding::Dictionary,
                        9 => Encoding::ByteStreamSplit,
                        _ => return None,
                    });
                }
                _ => self.skip(content, 1)?,
            }
        }
        values.zip(encoding)
    }

    fn skip(&mut self, content: u8, depth: u8) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match content {
            TRUE | FALSE => {}
            BYTE => {
                self.byte()?;
            }
            4..=I64 => {
                self.varint()?;
            }
            DOUBLE => self.rest = self.rest.get(8..)?,
            BINARY => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                self.rest = self.rest.get(bytes..)?;
            }
            LIST | SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                // An element takes a byte at least, so that a count of nonsense ends with the bytes.
                for _ in 0..count {
                    match head & 15 {
                        TRUE | FALSE => {
                            self.byte()?;
                        }
                        element => self.skip(element, depth + 1)?,
                    }
                }
            }
            STRUCT => {
                let mut field = 0;
                while let Some((_, content)) = self.field(&mut field)? {
                    self.skip(content, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of five values by dictionary, 9 bytes that are 3 in the file, with a statistic to be skipped.
    const DATA: [u8; 25] = [
        0x15, 0x00, 0x15, 0x12, 0x15, 0x06, // type, lengths
        0x2c, 0x15, 0x0a, 0x15, 0x10, 0x15, 0x06, 0x15, 0x06, // values, encoding, levels
        0x1c, 0x18, 0x01, 0x61, 0x00, 0x00, // statistics: one text
        0x00, 7, 8, 9, // end of the header, content
    ];

    #[test]
    fn a_header_is_read_and_what_is_not_needed_skipped() {
        let (header, content) = read(&DATA).unwrap();
        let expected = Header { kind: Kind::Data, values: 5, encoding: Encoding::Dictionary, content_bytes: 9 };
        assert_eq!((header, content), (expected, &[7, 8, 9][..]));
    }

    #[test]
    fn a_header_that_is_cut_is_none_and_one_that_is_flipped_does_not_panic() {
        for len in 0..DATA.len() {
            assert_eq!(read(&DATA[..len]), None, "cut to {len}");
        }
        for at in 0..DATA.len() {
            for bit in 0..8 {
                let mut bytes = DATA;
                bytes[at] ^= 1 << bit;
                let _ = read(&bytes);
            }
        }
    }

    #[test]
    fn structs_nested_beyond_reason_are_refused() {
        let mut bytes = vec![0x15, 0x00];
        bytes.extend([0x3c; 10_000]);
        assert_eq!(read(&bytes), None);
    }
}
