//! One part of an archive: its header, and its content inflated.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::super::Metered;
use super::super::document::broken;
use crate::import::{Fault, Sink};

/// Bytes of the header in front of a part.
const HEADER_BYTES: usize = 30;
/// Compressed bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How much larger a part may become. Apple's XML becomes 20 to 40 times as large.
const RATIO_MAX: u64 = 250;
/// Below, the ratio does not matter.
const INFLATED_BYTES_FREE: u64 = 64 * 1024 * 1024;
/// Characters of a part's name that are kept.
const NAME_CHARS_MAX: usize = 128;
/// Bytes between a part whose length its header does not say and the next.
const DESCRIPTOR_BYTES_MAX: u64 = 24;

/// Where a part is, and how it is packed.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// For people.
    pub(super) name: String,
    /// Where its header stands.
    pub(super) header_at: u64,
    pub(super) method: u16,
    pub(super) flags: u16,
    /// Packed bytes; only a part that is not packed needs it, as a packed one says itself where it ends.
    pub(super) packed_bytes: u64,
    /// CRC-32 of the content, where it is known before the end.
    pub(super) crc: Option<u32>,
    is_document: bool,
}

const METHOD_STORED: u16 = 0;
const METHOD_DEFLATED: u16 = 8;
const FLAG_ENCRYPTED: u16 = 1;
/// The header's lengths and checksum stand behind the content instead.
const FLAG_DESCRIPTOR: u16 = 8;

impl Part {
    pub(super) fn new(
        name: &[u8],
        header_at: u64,
        method: u16,
        flags: u16,
        packed_bytes: u64,
        crc: Option<u32>,
    ) -> Self {
        let shown = String::from_utf8_lossy(name);
        let is_document = name.len() >= 4
            && name.iter().rev().take(4).map(u8::to_ascii_lowercase).eq(*b"lmx.")
            && !name.starts_with(b"__MACOSX/");
        let name = super::super::maker::cleaned(&shown, NAME_CHARS_MAX);
        Self { name, header_at, method, flags, packed_bytes, crc, is_document }
    }

    /// Whether its name says that it is XML.
    pub(super) fn is_document(&self) -> bool {
        self.is_document
    }

    /// The part whose header stands at `at`, as the header says it; `None` if none stands there.
    pub(super) fn at<R: Read + Seek>(file: &mut Metered<'_, R>, at: u64) -> io::Result<Option<Self>> {
        file.seek(SeekFrom::Start(at))?;
        let Some(header) = header(file)? else { return Ok(None) };
        let mut name = Vec::new();
        file.by_ref().take(u64::from(header.name_bytes)).read_to_end(&mut name)?;
        let has_descriptor = header.flags & FLAG_DESCRIPTOR != 0;
        let crc = (!has_descriptor).then_some(header.crc);
        Ok(Some(Self::new(&name, at, header.method, header.flags, u64::from(header.packed_bytes), crc)))
    }

    /// Begins to inflate it; what is wrong otherwise.
    pub(super) fn open<'a, 'b, R: Read + Seek>(
        &self,
        file: &'a mut Metered<'b, R>,
    ) -> io::Result<Result<Inflated<'a, 'b, R>, String>> {
        file.seek(SeekFrom::Start(self.header_at))?;
        let Some(header) = header(file)? else { return Ok(Err("its header is missing".to_owned())) };
        if (self.flags | header.flags) & FLAG_ENCRYPTED != 0 {
            return Ok(Err("it is encrypted".to_owned()));
        }
        let start = self.header_at + header.bytes();
        file.seek(SeekFrom::Start(start))?;
        let input = BufReader::with_capacity(CHUNK_BYTES, file);
        let content = match self.method {
            METHOD_STORED => Content::Stored(input.take(self.packed_bytes)),
            METHOD_DEFLATED => Content::Deflated(DeflateDecoder::new(input)),
            other => return Ok(Err(format!("it is packed by method {other}, of which only 0 and 8 are known"))),
        };
        Ok(Ok(Inflated { content, start, crc: Crc::new(), expected: self.crc, given_bytes: 0 }))
    }

    /// Where the next part's header stands: reads to the part's end where its header does not say.
    pub(super) fn end<R: Read + Seek>(&self, file: &mut Metered<'_, R>, sink: &mut dyn Sink) -> Result<u64, Fault> {
        if self.flags & FLAG_DESCRIPTOR == 0 {
            file.seek(SeekFrom::Start(self.header_at))?;
            let header = header(file)?;
            return Ok(self.header_at + header.map_or(0, |header| header.bytes()) + self.packed_bytes);
        }
        let mut inflated = match self.open(file)? {
            Ok(inflated) if self.method == METHOD_DEFLATED => inflated,
            Ok(_) => return Err(broken(self.header_at, format!("nobody says where {} ends", self.name))),
            Err(what) => return Err(broken(self.header_at, format!("{}: {what}", self.name))),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        while inflated
            .read(&mut chunk)
            .map_err(|error| self.named(super::super::failed_reading(inflated.given_bytes, error)))?
            > 0
        {
            sink.reached(inflated.end())?;
        }
        let end = inflated.end();
        file.seek(SeekFrom::Start(end))?;
        let mut behind = Vec::new();
        file.by_ref().take(DESCRIPTOR_BYTES_MAX + 4).read_to_end(&mut behind)?;
        let next = behind.windows(4).position(|window| window == b"PK\x03\x04" || window == b"PK\x01\x02");
        Ok(end + next.and_then(|next| u64::try_from(next).ok()).unwrap_or(DESCRIPTOR_BYTES_MAX))
    }

    /// A fault in this part, which then names it.
    pub(super) fn named(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Broken { at, what } => broken(at, format!("{}: {what}", self.name)),
            other => other,
        }
    }
}

/// What the header in front of a part says.
struct Header {
    flags: u16,
    method: u16,
    crc: u32,
    packed_bytes: u32,
    name_bytes: u16,
    extra_bytes: u16,
}

impl Header {
    /// Bytes of the header, its name and what else is there.
    fn bytes(&self) -> u64 {
        30 + u64::from(self.name_bytes) + u64::from(self.extra_bytes)
    }
}

/// The header at the file's place.
fn header<R: Read>(file: &mut R) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    match file.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    #[rustfmt::skip]
    let [b'P', b'K', 3, 4, _, _, f0, f1, m0, m1, _, _, _, _, c0, c1, c2, c3, p0, p1, p2, p3, _, _, _, _, n0, n1, x0, x1] = bytes
    else {
        return Ok(None);
    };
    Ok(Some(Header {
        flags: u16::from_le_bytes([f0, f1]),
        method: u16::from_le_bytes([m0, m1]),
        crc: u32::from_le_bytes([c0, c1, c2, c3]),
        packed_bytes: u32::from_le_bytes([p0, p1, p2, p3]),
        name_bytes: u16::from_le_bytes([n0, n1]),
        extra_bytes: u16::from_le_bytes([x0, x1]),
    }))
}

type Input<'a, 'b, R> = BufReader<&'a mut Metered<'b, R>>;

/// How the content lies in the file.
enum Content<'a, 'b, R> {
    Stored(io::Take<Input<'a, 'b, R>>),
    Deflated(DeflateDecoder<Input<'a, 'b, R>>),
}

/// The content of a part, as it is read.
///
/// At its end the checksum is compared: `InvalidData` if it is another. More than [`RATIO_MAX`] times as many bytes as the
/// file has are `InvalidData` too.
pub(super) struct Inflated<'a, 'b, R> {
    content: Content<'a, 'b, R>,
    start: u64,
    crc: Crc,
    expected: Option<u32>,
    given_bytes: u64,
}

impl<R: Read> Inflated<'_, '_, R> {
    /// Where the file is read to.
    pub(super) fn end(&self) -> u64 {
        self.start + self.packed_bytes()
    }

    /// Bytes of the file that were used.
    fn packed_bytes(&self) -> u64 {
        match &self.content {
            Content::Stored(_) => self.given_bytes,
            Content::Deflated(decoder) => decoder.total_in(),
        }
    }
}

impl<R: Read> Read for Inflated<'_, '_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.content {
            Content::Stored(input) => input.read(out)?,
            Content::Deflated(decoder) => {
                let read = decoder.read(out)?;
                // The decoder takes the file's end for the content's if nothing of the next block is there.
                if read == 0 && !out.is_empty() && decoder.get_mut().fill_buf()?.is_empty() && self.expected.is_none() {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends within it"));
                }
                read
            }
        };
        if read == 0 && !out.is_empty() {
            return match self.expected {
                Some(expected) if expected != self.crc.sum() => {
                    let what = format!("its checksum is {:08x}, not {expected:08x}", self.crc.sum());
                    Err(io::Error::new(io::ErrorKind::InvalidData, what))
                }
                _ => Ok(0),
            };
        }
        self.crc.update(out.get(..read).unwrap_or_default());
        self.given_bytes += u64::try_from(read).unwrap_or_default();
        if self.given_bytes > INFLATED_BYTES_FREE && self.given_bytes / RATIO_MAX > self.packed_bytes() {
            let what = format!("it becomes more than {RATIO_MAX} times as large: nothing that a watch wrote does");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(read)
    }
}
