//! Apple Health: `export.zip` as the phone makes it, or the `export.xml` inside.
//!
//! ```text
//! export.zip ─▶ exports ─▶ prolog (definition skipped) ─▶ text (UTF-8, bounded) ─▶ document (quick-xml) ─▶ record ─▶ Sink
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

mod beats;
pub(super) mod date;
mod document;
mod exports;
mod kind;
pub(super) mod maker;
mod prolog;
mod record;
pub(super) mod sleep;
mod text;
pub(super) mod unit;

use std::io::{self, Read, Seek, SeekFrom};

use self::document::{REPORT_BYTES, broken};
use self::prolog::{NoRoot, Prolog};
pub(super) use self::record::{STRAND_ACTIVE, STRAND_BASAL};
use super::archive::{self, Tracked};
use super::{Fault, Sink, garmin, mistaken};

/// The root element of an export.
const ROOT: &str = "HealthData";

/// Bytes by which a file is known.
const HEAD_BYTES: u64 = 12;

/// Reads an export into `sink`: a zip archive with one or more exports inside, or one document.
///
/// # Errors
/// [`Fault::Broken`] where the file stops to make sense; what was found before stands. Of an archive the offset is that in
/// the part that the message names. [`Fault::Foreign`] for an archive without an export, and for Garmin's files.
pub fn read<R: Read + Seek>(mut file: R, sink: &mut dyn Sink) -> Result<(), Fault> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    let (mut file, read_bytes) = Tracked::new(file);
    if archive::begins(&head) {
        exports::read(file, &read_bytes, sink)?;
    } else if garmin::begins(&head) {
        return Err(Fault::Foreign { what: mistaken::GARMIN.to_owned() });
    } else {
        let prolog = Prolog::read(&mut file).map_err(|reason| match reason {
            NoRoot::Broken(at, what) => broken(at, format!("no Apple Health export: {what}")),
            NoRoot::Read(error) => failed_reading(read_bytes.get(), error),
        })?;
        if prolog.root != ROOT {
            let what = format!("no Apple Health export: the root element is <{}>, not <{ROOT}>", prolog.root);
            return Err(broken(prolog.root_at, what));
        }
        document::read(prolog, file, &read_bytes, sink)?;
    }
    sink.reached(length)?;
    Ok(())
}

/// Whether a document is an export; reads its beginning, a mebibyte at most.
///
/// # Errors
/// [`Fault::Io`] when it cannot be read.
pub(super) fn is_export(document: impl Read) -> Result<bool, Fault> {
    match Prolog::read(document) {
        Ok(prolog) => Ok(prolog.root == ROOT),
        Err(NoRoot::Broken(..)) => Ok(false),
        Err(NoRoot::Read(error)) => Err(Fault::Io(error)),
    }
}

/// The fault of a failed read: of the file's content if what inflates it says so, else of the disk.
fn failed_reading(at: u64, error: io::Error) -> Fault {
    use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        // The last is an archive that inflates without bounds.
        InvalidData | InvalidInput | UnexpectedEof | FileTooLarge => broken(at, error.to_string()),
        _ => Fault::Io(error),
    }
}

#[cfg(test)]
pub(super) mod tests;
