//! Archives (zip), read once from front to back: part after part, an archive inside of an archive like the one around it.
//!
//! No central directory is needed, so an archive that breaks off gives what it held before the break, and one inside of
//! another needs no room of its own. Bounded are the depth, the number of parts, and the bytes that all of them inflate
//! to, against those that were read. Names say what a part is and stand in reports; no file is made of them.
//!
//! Not here: how a part's header looks ([`part`]), what its content is (`map`, `account`).

mod part;

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::rc::Rc;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::context::Context;
use super::night::Nights;
use super::{READ_BYTES, account, map, reason};
use crate::import::Fault;
use part::{Method, Part};

/// How deep archives may lie in archives; the account's export has two.
pub(super) const DEPTH_MAX: usize = 4;

/// Parts of all archives of one file.
pub(super) const PARTS_MAX: u32 = 1_000_000;

/// All parts may inflate to this, whatever was read ...
pub(super) const INFLATED_BYTES_FREE: u64 = 64 << 20;

/// ... and to so many times what was read of the file. JSON deflates to a thirtieth, FIT to a third.
pub(super) const INFLATED_RATIO_MAX: u64 = 200;

/// The archives of one file.
pub(super) struct Archives<'a, 's> {
    context: &'a mut Context<'s>,
    nights: &'a mut Nights,
    parts: u32,
    /// What all parts were inflated to.
    inflated_bytes: Rc<Cell<u64>>,
}

impl<'a, 's> Archives<'a, 's> {
    pub(super) fn new(context: &'a mut Context<'s>, nights: &'a mut Nights) -> Self {
        Self { context, nights, parts: 0, inflated_bytes: Rc::default() }
    }

    /// Reads an archive to its directory, or to its end.
    ///
    /// # Errors
    /// [`Fault::Broken`] with the offset in this archive.
    pub(super) fn read(&mut self, source: &mut dyn BufRead) -> Result<(), Fault> {
        let mut source = Counted { source, at: 0 };
        while let Some(part) = part::next(&mut source)? {
            self.parts += 1;
            if self.parts > PARTS_MAX {
                return Err(broken(source.at, format!("more than {PARTS_MAX} parts")));
            }
            self.context.parts.push(part.name.clone());
            let outcome = self.part(&part, &mut source);
            self.context.parts.pop();
            outcome?;
        }
        Ok(())
    }

    /// Reads a part and what stands behind it.
    fn part(&mut self, part: &Part, source: &mut Counted<'_>) -> Result<(), Fault> {
        let unknown_end = part.compressed_bytes.is_none();
        let cannot = match part.method {
            _ if part.is_encrypted => Some(reason::ENCRYPTED),
            Method::Other(_) => Some(reason::METHOD),
            Method::Stored if unknown_end => Some(reason::METHOD),
            Method::Stored | Method::Deflated => None,
        };
        if let Some(reason) = cannot {
            if unknown_end {
                return Err(broken(source.at, format!("`{}` has no size, and cannot be read without", part.name)));
            }
            self.context.skipped(reason, &"not read");
        }
        let mut packed = source.take(part.compressed_bytes.unwrap_or(u64::MAX));
        let whole = match part.method {
            _ if cannot.is_some() => Ok(None),
            Method::Deflated => self.content(part, DeflateDecoder::new(&mut packed)),
            Method::Stored | Method::Other(_) => self.content(part, &mut packed),
        };
        let inflated = match whole {
            Ok(inflated) => inflated,
            // The deflate stream is damaged: the next part can be found only if this one's size is known.
            Err(Fault::Io(error)) if is_damage(&error) && !unknown_end => {
                self.context.skipped(reason::BROKEN_FILE, &error);
                None
            }
            Err(Fault::Io(error)) if is_damage(&error) => {
                let at = source.at;
                return Err(broken(at, format!("`{}` cannot be inflated: {error}", part.name)));
            }
            Err(Fault::Io(error)) if error.kind() == ErrorKind::FileTooLarge => {
                return Err(broken(source.at, format!("`{}`: {error}", part.name)));
            }
            Err(fault) => return Err(fault),
        };
        if !unknown_end {
            self.drain(&mut packed)?;
            if packed.limit() > 0 {
                return Err(broken(source.at, format!("the archive ends inside of `{}`", part.name)));
            }
        }
        let sum = if part.has_descriptor { part::descriptor(source, part, inflated)? } else { Some(part.sum) };
        if inflated.is_some_and(|(_, found)| sum.is_some_and(|sum| sum != found)) {
            self.context.skipped(reason::BROKEN_FILE, &"its checksum is wrong");
        }
        Ok(())
    }

    /// Reads a part's content to its end. Returns its size and checksum.
    fn content(&mut self, part: &Part, source: impl Read) -> Result<Option<(u64, u32)>, Fault> {
        let mut content = Inflated {
            source,
            sum: Crc::new(),
            bytes: 0,
            total_bytes: Rc::clone(&self.inflated_bytes),
            read_bytes: self.context.read_bytes(),
        };
        match self.known(part, &mut content) {
            Ok(()) => {}
            Err(Fault::Broken { at, what }) => {
                self.context.skipped(reason::BROKEN_FILE, &format_args!("broken at byte {at}: {what}"));
            }
            Err(fault) => return Err(fault),
        }
        self.drain(&mut content)?;
        Ok(Some((content.bytes, content.sum.sum())))
    }

    /// Reads what a part holds for us.
    fn known(&mut self, part: &Part, content: &mut dyn Read) -> Result<(), Fault> {
        let name = part.name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
        if name.is_empty() {
            return Ok(());
        }
        // What a Mac puts beside each file has its name, with this in front.
        let extension = name.rsplit_once('.').filter(|_| !name.starts_with("._")).map(|(_, extension)| extension);
        if extension == Some("fit") {
            return map::read(content, &mut map::Asleep::Held(self.nights), self.context);
        }
        if extension == Some("zip") {
            if self.context.parts.len() >= DEPTH_MAX {
                self.context.skipped(reason::TOO_DEEP, &format_args!("{DEPTH_MAX} archives around it"));
                return Ok(());
            }
            return self.read(&mut BufReader::with_capacity(READ_BYTES, content));
        }
        if let Some(kind) = account::Kind::of(&name) {
            return kind.read(content, self.nights, self.context);
        }
        self.context.skipped(reason::OTHER_FILE, &"not read");
        Ok(())
    }

    fn drain(&mut self, source: &mut dyn Read) -> Result<(), Fault> {
        let mut room = [0; 8 << 10];
        loop {
            match source.read(&mut room) {
                Ok(0) => return Ok(()),
                Ok(_) => self.context.progress()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
    }
}

/// Whether an error is about the bytes and not about the disk that they come from.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

fn broken(at: u64, what: String) -> Fault {
    Fault::Broken { at, what }
}

/// Counts what is consumed of an archive.
struct Counted<'a> {
    source: &'a mut dyn BufRead,
    at: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(room)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes as u64;
        self.source.consume(bytes);
    }
}

/// Counts and sums what comes out of a part, and ends what inflates without bounds.
struct Inflated<R> {
    source: R,
    sum: Crc,
    bytes: u64,
    total_bytes: Rc<Cell<u64>>,
    /// What was read of the file itself.
    read_bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(room)?;
        self.sum.update(room.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        self.total_bytes.set(self.total_bytes.get() + read as u64);
        let bytes_max = self.read_bytes.get().saturating_mul(INFLATED_RATIO_MAX).saturating_add(INFLATED_BYTES_FREE);
        if self.total_bytes.get() > bytes_max {
            let what = format!("the archive inflates without bounds, to more than {} MiB here", bytes_max >> 20);
            return Err(io::Error::new(ErrorKind::FileTooLarge, what));
        }
        Ok(read)
    }
}
