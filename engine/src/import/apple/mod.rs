//! Apple Health: `export.zip` as the phone makes it, or the `export.xml` inside.
//!
//! ```text
//! export.zip ─▶ archive ─▶ prolog (definition skipped) ─▶ text (UTF-8, bounded) ─▶ document (quick-xml) ─▶ record ─▶ Sink
//!                                                                           sleep, beats ◀──┘
//! ```
//!
//! | record | becomes |
//! | --- | --- |
//! | heart rate, respiratory rate, body temperature, SDNN | a sample at its start |
//! | oxygen saturation | a sample at its start, the fraction as % |
//! | beats below a record of SDNN | `hrv`, RMSSD, at the record's start (`beats`) |
//! | steps, active and basal energy | pieces of a day; energy in two strands |
//! | sleep | one duration a night, and deep and REM, at the end of the sleep (`sleep`) |
//! | anything else | skipped, with its type as the reason |
//!
//! The file names its parts in the phone's language (`Export.xml`, `导出.xml`), so a part is known by its root element.
//! Memory: 64 MiB of intervals of sleep at most, 8 MiB of names, and three buffers; the file may be as large as it likes.
//!
//! Not here: the bounds of values (the sink's), totals of days, whose points they are.

mod archive;
mod beats;
pub(super) mod date;
mod document;
mod kind;
pub(super) mod maker;
mod prolog;
mod record;
pub(super) mod sleep;
mod text;
pub(super) mod unit;

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};

use self::document::broken;
use self::prolog::{NoRoot, Prolog};
pub(super) use self::record::{STRAND_ACTIVE, STRAND_BASAL};
use super::{Fault, Sink};

/// The root element of an export.
const ROOT: &str = "HealthData";

/// Reads an export into `sink`: a zip archive with one or more exports inside, or one document.
///
/// # Errors
/// [`Fault::Broken`] where the file stops to make sense; what was found before stands. Of an archive the offset is that in
/// the part that the message names.
pub fn read<R: Read + Seek>(mut file: R, sink: &mut dyn Sink) -> Result<(), Fault> {
    let position = Cell::new(0);
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut file = Metered { file, position: &position };
    let mut magic = [0; 4];
    let is_archive = length >= 4 && {
        file.read_exact(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        archive::begins(magic)
    };
    if is_archive {
        archive::read(&mut file, length, &position, sink)?;
    } else {
        let prolog = Prolog::read(&mut file).map_err(|reason| match reason {
            NoRoot::Broken(at, what) => broken(at, format!("no Apple Health export: {what}")),
            NoRoot::Read(error) => failed_reading(position.get(), error),
        })?;
        if prolog.root != ROOT {
            let what = format!("no Apple Health export: the root element is <{}>, not <{ROOT}>", prolog.root);
            return Err(broken(prolog.root_at, what));
        }
        document::read(prolog, &mut file, &position, sink)?;
    }
    sink.reached(length)?;
    Ok(())
}

/// A file that knows how far it is read.
#[derive(Debug)]
struct Metered<'a, R> {
    file: R,
    position: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(out)?;
        self.position.set(self.position.get() + u64::try_from(read).unwrap_or_default());
        Ok(read)
    }
}

impl<R: Seek> Seek for Metered<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.file.seek(to)?;
        self.position.set(at);
        Ok(at)
    }
}

/// The fault of a failed read: of the file's content if what inflates it says so, else of the disk.
fn failed_reading(at: u64, error: io::Error) -> Fault {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => broken(at, error.to_string()),
        _ => Fault::Io(error),
    }
}

#[cfg(test)]
pub(super) mod tests;
