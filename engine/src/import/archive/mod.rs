//! Archives (zip), read once from front to back: part after part, an archive inside of an archive like the one around it.
//!
//! ```text
//! file ─▶ Tracked ─▶ Archives: header, content inflated, descriptor ─▶ Reader (one a maker): what a part holds
//!                        ▲───────────── a part that is an archive ──────────┘
//! ```
//!
//! No central directory is needed, so an archive that breaks off gives what it held before the break, and one inside of
//! another needs no room of its own. Bounded are the depth, the number of parts, and the bytes that all of them inflate
//! to, against those that were read. Nothing is unpacked to the disk: names say what a part is and stand in reports, and
//! lead nowhere.
//!
//! The crate `zip` is not used here because it wants a directory, and allocates for as many parts as that claims to have.
//!
//! Not here: how a part's header looks ([`part`]), what its content is.

mod part;
#[cfg(test)]
pub(super) mod tests;

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::rc::Rc;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::Fault;
use part::{Method, Part};

/// How deep archives may lie in archives; the account's export of Garmin has two.
pub(super) const DEPTH_MAX: usize = 4;

/// Parts of all archives of one file. A person with 20 years of workouts has some ten thousand.
pub(super) const PARTS_MAX: u32 = 1_000_000;

/// All parts may inflate to this, whatever was read ...
pub(super) const INFLATED_BYTES_FREE: u64 = 64 << 20;

/// ... and to so many times what was read of the file. XML deflates to a twentieth or a fortieth, FIT to a third.
pub(super) const INFLATED_RATIO_MAX: u64 = 250;

/// Bytes that are read of a file at once.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Whether these bytes begin an archive: with a part, or, when it has none, with its end.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(part::PART) || head.starts_with(part::END)
}

/// Who reads the parts of archives.
pub(super) trait Reader {
    /// Reads what a part holds, as far as it is of use. `path` is where it is: the archives around it, the outermost
    /// first, and its own name; `written_at` is when it was written, microseconds UTC give or take a day, if the archive says.
    ///
    /// # Errors
    /// [`Fault::Broken`] with the offset in the part becomes a flaw of it; anything else ends the reading.
    fn part(&mut self, path: &[String], written_at: Option<i64>, content: &mut dyn Read) -> Result<(), Fault>;

    /// Notes what is wrong with a part; the next one is read.
    fn flaw(&mut self, path: &[String], flaw: Flaw<'_>);

    /// Tells how far the file is read; called at least once a mebibyte.
    ///
    /// # Errors
    /// When no more may come.
    fn progress(&mut self) -> Result<(), Fault>;
}

/// What is wrong with a part.
#[derive(Clone, Copy)]
pub(super) enum Flaw<'a> {
    /// Nobody reads it without a password.
    Encrypted,
    /// It is packed in a way that is not read.
    Method,
    /// An archive inside of too many.
    TooDeep,
    /// Its content breaks here; what came before was given to the reader.
    Broken(u64, &'a dyn fmt::Display),
}

/// The archives of one file.
pub(super) struct Archives<'a> {
    reader: &'a mut dyn Reader,
    path: Vec<String>,
    /// When the part at hand was written.
    written_at: Option<i64>,
    parts: u32,
    /// What was read of the file itself.
    read_bytes: Rc<Cell<u64>>,
    /// What all parts were inflated to.
    inflated_bytes: Rc<Cell<u64>>,
}

impl<'a> Archives<'a> {
    /// Archives of a file; `read_bytes` is kept by whoever reads it.
    pub(super) fn new(reader: &'a mut dyn Reader, read_bytes: Rc<Cell<u64>>) -> Self {
        Self { reader, path: Vec::new(), written_at: None, parts: 0, read_bytes, inflated_bytes: Rc::default() }
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
            self.path.push(part.name.clone());
            self.written_at = part.written_at;
            let outcome = self.part(&part, &mut source);
            self.path.pop();
            outcome?;
            self.reader.progress()?;
        }
        Ok(())
    }

    fn flaw(&mut self, flaw: Flaw<'_>) {
        self.reader.flaw(&self.path, flaw);
    }

    /// Reads a part and what stands behind it.
    fn part(&mut self, part: &Part, source: &mut Counted<'_>) -> Result<(), Fault> {
        let unknown_end = part.compressed_bytes.is_none();
        let cannot = match part.method {
            _ if part.is_encrypted => Some(Flaw::Encrypted),
            Method::Other(_) => Some(Flaw::Method),
            Method::Stored if unknown_end => Some(Flaw::Method),
            Method::Stored | Method::Deflated => None,
        };
        if let Some(flaw) = cannot {
            if unknown_end {
                return Err(broken(source.at, format!("`{}` has no size, and cannot be read without", part.name)));
            }
            self.flaw(flaw);
        }
        let mut packed = source.take(part.compressed_bytes.unwrap_or(u64::MAX));
        let whole = match part.method {
            _ if cannot.is_some() => Ok(None),
            Method::Deflated => self.content(DeflateDecoder::new(&mut packed)),
            Method::Stored | Method::Other(_) => self.content(&mut packed),
        };
        let inflated = match whole {
            Ok(inflated) => inflated,
            // The deflate stream is damaged: the next part can be found only if this one's size is known.
            Err((at, Fault::Io(error))) if is_damage(&error) && !unknown_end => {
                self.flaw(Flaw::Broken(at, &error));
                None
            }
            Err((_, Fault::Io(error))) if is_damage(&error) => {
                return Err(broken(source.at, format!("`{}` cannot be inflated: {error}", part.name)));
            }
            Err((_, Fault::Io(error))) if error.kind() == ErrorKind::FileTooLarge => {
                return Err(broken(source.at, format!("`{}`: {error}", part.name)));
            }
            Err((_, fault)) => return Err(fault),
        };
        if !unknown_end {
            self.drain(&mut packed)?;
            if packed.limit() > 0 {
                return Err(broken(source.at, format!("the archive ends inside of `{}`", part.name)));
            }
        }
        let sum = if part.has_descriptor { part::descriptor(source, part, inflated)? } else { Some(part.sum) };
        if let Some((bytes, found)) = inflated
            && sum.is_some_and(|sum| sum != found)
        {
            self.flaw(Flaw::Broken(bytes, &"its checksum is wrong"));
        }
        Ok(())
    }

    /// Reads a part's content to its end. Returns its size and checksum; or how far it was read, and why no further.
    fn content(&mut self, source: impl Read) -> Result<Option<(u64, u32)>, (u64, Fault)> {
        let mut content = Inflated {
            source,
            sum: Crc::new(),
            bytes: 0,
            total_bytes: Rc::clone(&self.inflated_bytes),
            read_bytes: Rc::clone(&self.read_bytes),
        };
        let outcome = match self.known(&mut content) {
            Err(Fault::Broken { at, what }) => {
                self.flaw(Flaw::Broken(at, &what));
                Ok(())
            }
            outcome => outcome,
        };
        match outcome.and_then(|()| self.drain(&mut content)) {
            Ok(()) => Ok(Some((content.bytes, content.sum.sum()))),
            Err(fault) => Err((content.bytes, fault)),
        }
    }

    /// Reads what a part holds.
    fn known(&mut self, content: &mut dyn Read) -> Result<(), Fault> {
        let name = self.path.last().map(String::as_str).unwrap_or_default();
        if file_name(name).is_empty() {
            return Ok(());
        }
        if extension(name).as_deref() != Some("zip") {
            return self.reader.part(&self.path, self.written_at, content);
        }
        if self.path.len() >= DEPTH_MAX {
            self.flaw(Flaw::TooDeep);
            return Ok(());
        }
        self.read(&mut BufReader::with_capacity(READ_BYTES, content))
    }

    fn drain(&mut self, source: &mut dyn Read) -> Result<(), Fault> {
        let mut room = [0; 8 << 10];
        loop {
            match source.read(&mut room) {
                Ok(0) => return Ok(()),
                Ok(_) => self.reader.progress()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
    }
}

/// The name of a part without the folders around it, in small letters; empty for a folder.
pub(super) fn file_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase()
}

/// What a part's name ends in behind the last dot, in small letters.
pub(super) fn extension(name: &str) -> Option<String> {
    // What a Mac puts beside each file has its name, with this in front.
    let name = file_name(name);
    name.rsplit_once('.').filter(|_| !name.starts_with("._")).map(|(_, extension)| extension.to_owned())
}

/// Whether an error is about the bytes and not about the disk that they come from.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

fn broken(at: u64, what: String) -> Fault {
    Fault::Broken { at, what }
}

/// Counts what is read of a file.
#[derive(Debug)]
pub(super) struct Tracked<R> {
    source: R,
    read_bytes: Rc<Cell<u64>>,
}

impl<R> Tracked<R> {
    /// A file from where it stands, and what is read of it, as it grows.
    pub(super) fn new(source: R) -> (Self, Rc<Cell<u64>>) {
        let read_bytes = Rc::new(Cell::new(0));
        (Self { source, read_bytes: Rc::clone(&read_bytes) }, read_bytes)
    }
}

impl<R: Read> Read for Tracked<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(room)?;
        self.read_bytes.set(self.read_bytes.get() + read as u64);
        Ok(read)
    }
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
