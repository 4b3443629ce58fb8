//! The stream: bytes in, one message at a time out.

use std::io::{ErrorKind, Read};

use super::crc;
use super::definition::{Definition, Value};
use crate::import::Fault;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// The smallest header.
const HEADER_BYTES_MIN: usize = 12;

/// Local types that can be defined at a time.
const LOCAL_TYPES: usize = 16;

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A file begins: the first, or one chained to another.
    Begin,
    /// A message.
    Message(Message<'a>),
    /// The file ended, and its checksum is right.
    End,
}

/// One message, valid until the next is asked for.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// The message's time, its own or made of the last one; seconds from the format's beginning.
    pub(crate) timestamp: Option<u32>,
    definition: &'a Definition,
    body: &'a [u8],
}

impl Message<'_> {
    /// Which message: a number of [`super::profile::message`], or one that is not read.
    pub(crate) fn number(&self) -> u16 {
        self.definition.number
    }

    /// A field, or the first element of one. Only fields of [`super::profile`] can be asked for.
    pub(crate) fn value(&self, field: u8) -> Value {
        self.definition.value(self.body, field)
    }

    /// A field of bytes, as it is stored.
    pub(crate) fn bytes(&self, field: u8) -> &[u8] {
        self.definition.bytes(self.body, field)
    }

    /// A field's elements that hold a value.
    pub(crate) fn numbers(&self, field: u8) -> impl Iterator<Item = i64> + '_ {
        self.definition.numbers(self.body, field)
    }
}

/// Whether a FIT file begins with these bytes.
pub(in crate::import) fn begins(head: &[u8]) -> bool {
    head.get(8..12) == Some(b".FIT")
}

/// Decodes FIT files from a stream. Holds one read's bytes and the largest message (130 KiB) at most.
#[derive(Debug)]
pub(crate) struct Decoder<R> {
    source: R,
    buffer: Vec<u8>,
    /// What of `buffer` is not consumed yet.
    position: usize,
    /// What of `buffer` is in `crc`.
    summed: usize,
    crc: u16,
    /// Offset of `buffer`'s first byte.
    base: u64,
    /// Offset of the checksum of the file that is being read.
    records_end: Option<u64>,
    definitions: [Option<Definition>; LOCAL_TYPES],
    timestamp: Option<u32>,
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::with_capacity(READ_BYTES),
            position: 0,
            summed: 0,
            crc: 0,
            base: 0,
            records_end: None,
            definitions: Default::default(),
            timestamp: None,
        }
    }

    /// Offset of what comes next.
    pub(crate) fn at(&self) -> u64 {
        self.base + self.position as u64
    }

    /// Returns what comes next, `None` behind the last file.
    ///
    /// # Errors
    /// [`Fault::Broken`] with the offset of what cannot be read; [`Fault::Io`] if the source fails. The stream is not to
    /// be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'_>>, Fault> {
        loop {
            let Some(records_end) = self.records_end else {
                return if self.fill(1)? { self.begin().map(|()| Some(Event::Begin)) } else { Ok(None) };
            };
            if self.at() >= records_end {
                return self.end(records_end).map(|()| Some(Event::End));
            }
            let header = self.peek(1)?.first().copied().unwrap_or_default();
            if header & 0xC0 == 0x40 {
                self.define(header)?;
                continue;
            }
            return self.message(header).map(|message| Some(Event::Message(message)));
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        (self.crc, self.summed, self.timestamp) = (0, self.position, None);
        self.definitions = Default::default();
        if !self.fill(HEADER_BYTES_MIN)? {
            return Err(self.broken("no FIT file begins here"));
        }
        let header = self.peek(HEADER_BYTES_MIN)?;
        let (size, is_fit) = (header.first().copied().map_or(0, usize::from), begins(header));
        let data = header.get(4..8).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_le_bytes);
        if size < HEADER_BYTES_MIN || !is_fit {
            return Err(self.broken("no FIT file begins here"));
        }
        let header = self.peek(size)?;
        let sum = header.get(12..14).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_le_bytes);
        if sum != 0 && sum != crc::of(header.get(..12).unwrap_or_default()) {
            return Err(self.broken("the header's checksum is wrong"));
        }
        self.position += size;
        self.records_end = Some(self.at() + u64::from(data));
        Ok(())
    }

    fn end(&mut self, records_end: u64) -> Result<(), Fault> {
        if self.at() > records_end {
            return Err(self.broken("the last record is longer than the header says"));
        }
        self.sum();
        let expected = self.peek(2)?.first_chunk().copied().map_or(0, u16::from_le_bytes);
        if expected != self.crc {
            return Err(self.broken("the checksum is wrong: something before this is damaged"));
        }
        self.position += 2;
        self.records_end = None;
        Ok(())
    }

    fn define(&mut self, header: u8) -> Result<(), Fault> {
        let start = self.peek(6)?;
        let &[_, _, architecture, low, high, fields] = start.first_chunk::<6>().unwrap_or(&[0; 6]);
        let number = if architecture == 0 { u16::from_le_bytes([low, high]) } else { u16::from_be_bytes([low, high]) };
        let fields_end = 6 + 3 * usize::from(fields);
        let mut end = fields_end;
        if header & 0x20 != 0 {
            let developer = self.peek(fields_end + 1)?.get(fields_end).copied().unwrap_or_default();
            end += 1 + 3 * usize::from(developer);
        }
        let bytes = self.peek(end)?;
        let definition = Definition::new(
            number,
            architecture != 0,
            bytes.get(6..fields_end).unwrap_or_default(),
            bytes.get(fields_end + 1..end).unwrap_or_default(),
        );
        self.position += end;
        if let Some(place) = self.definitions.get_mut(usize::from(header & 0x0F)) {
            *place = Some(definition);
        }
        Ok(())
    }

    fn message(&mut self, header: u8) -> Result<Message<'_>, Fault> {
        let is_compressed = header & 0x80 != 0;
        let local = if is_compressed { usize::from((header >> 5) & 3) } else { usize::from(header & 0x0F) };
        let Some(bytes) = self.definition(local).map(|definition| 1 + definition.body_bytes) else {
            return Err(self.undefined());
        };
        self.peek(bytes)?;
        let start = self.position;
        self.position += bytes;
        let body = self.buffer.get(start + 1..start + bytes).unwrap_or_default();
        let Some(definition) = self.definitions.get(local).and_then(Option::as_ref) else {
            return Err(self.undefined());
        };
        let mut timestamp = definition.timestamp(body);
        if timestamp.is_none() && is_compressed {
            // The lower five bits of the time, which went on by less than 32 seconds since the last one.
            timestamp =
                self.timestamp.map(|last| last.wrapping_add(u32::from(header & 0x1F).wrapping_sub(last & 0x1F) & 0x1F));
        }
        self.timestamp = timestamp.or(self.timestamp);
        Ok(Message { timestamp, definition, body })
    }

    fn definition(&self, local: usize) -> Option<&Definition> {
        self.definitions.get(local).and_then(Option::as_ref)
    }

    fn undefined(&self) -> Fault {
        self.broken("a message of a type that was not defined")
    }

    /// The next `bytes` bytes.
    fn peek(&mut self, bytes: usize) -> Result<&[u8], Fault> {
        if !self.fill(bytes)? {
            let end = self.base + self.buffer.len() as u64;
            return Err(Fault::Broken { at: end, what: "the file ends in the middle".to_owned() });
        }
        Ok(self.buffer.get(self.position..self.position + bytes).unwrap_or_default())
    }

    /// Reads until `bytes` bytes are there; false if the source ends before.
    fn fill(&mut self, bytes: usize) -> Result<bool, Fault> {
        if self.buffer.len() - self.position >= bytes {
            return Ok(true);
        }
        self.sum();
        self.buffer.drain(..self.position);
        self.base += self.position as u64;
        (self.position, self.summed) = (0, 0);
        while self.buffer.len() < bytes {
            let filled = self.buffer.len();
            self.buffer.resize(filled + READ_BYTES, 0);
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            let read = self.source.read(room);
            self.buffer.truncate(filled + read.as_ref().copied().unwrap_or(0).min(READ_BYTES));
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        Ok(true)
    }

    /// Takes what is consumed into the checksum.
    fn sum(&mut self) {
        self.crc = crc::extend(self.crc, self.buffer.get(self.summed..self.position).unwrap_or_default());
        self.summed = self.position;
    }

    fn broken(&self, what: &str) -> Fault {
        Fault::Broken { at: self.at(), what: what.to_owned() }
    }
}
