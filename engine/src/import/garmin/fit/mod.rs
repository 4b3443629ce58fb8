//! FIT, the format of watch files, as a stream of messages: only what this product reads of them, in bounded memory.
//!
//! A file is a header, records, and a checksum; files may be chained. All offsets are in bytes.
//!
//! | bytes           | of the header  | meaning                                                    |
//! |-----------------|----------------|------------------------------------------------------------|
//! | 0               | size           | 12 or 14; a longer one is read over                        |
//! | 1..4            | versions       | of the protocol and the profile, not needed                |
//! | 4..8            | data size      | bytes of records, little-endian                            |
//! | 8..12           | `.FIT`         |                                                            |
//! | 12..14          | checksum       | of bytes 0..12; 0: none                                    |
//!
//! A record begins with one byte that names one of 16 local types: `01d.tttt` opens a definition (`d`: with developer
//! fields), `00..tttt` a message, `1ttooooo` a message whose time is the last one's with new lower five bits. A
//! definition says the message's number, its byte order, and number, size and base type of every field; it holds until
//! the same local type is defined again. Behind the records stands the CRC-16 of header and records, little-endian.
//!
//! Not here: what messages mean to us (`garmin::map`).

mod crc;
mod decoder;
mod definition;
pub(crate) mod profile;

pub(in crate::import) use decoder::begins;
pub(crate) use decoder::{Decoder, Event, Message};
pub(crate) use definition::Value;

/// Seconds from 1970 to the format's own beginning, the last day of 1989.
pub(crate) const EPOCH_S: i64 = 631_065_600;

/// Times below this are seconds since the device was switched on, not dates.
pub(crate) const DATE_MIN: u32 = 0x1000_0000;

/// Makes microseconds UTC of a date of the format.
pub(crate) fn micros(date: u32) -> i64 {
    (i64::from(date) + EPOCH_S) * crate::time::SECOND_US
}
