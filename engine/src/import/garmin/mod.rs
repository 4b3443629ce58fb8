//! Garmin's files: FIT as watches write it, zips of them, and the export of a whole account.
//!
//! ```text
//! .fit ───────────────────────▶ fit: messages ─▶ map: values, counters, nights ─┐
//! .zip ─▶ archive: one part at a time, parts may be archives ─▶ .fit, JSON ─────┼─▶ Sink
//! account export: its JSON ─▶ account: nights, totals of days ──────────────────┘
//! pushed summaries (JSON) ───▶ push ────────────────────────────────────────────▶ Sink
//! ```
//!
//! One pass over the file; memory holds one message, one entry of JSON and the nights of an archive, each bounded.
//! Nothing is unpacked to the disk, and names in archives lead nowhere: they only say what a part is.
//!
//! Not here: day totals of counters (`import::counter` and whoever keeps the readings).

mod account;
mod archive;
mod context;
mod fit;
mod json;
mod map;
mod night;
pub mod push;
mod reason;

use std::io::{BufReader, Read, Seek};

use context::{Context, Tracked};
use night::Nights;

use super::{Fault, Sink};

/// The source of every point of this importer.
pub const SOURCE: &str = "garmin";

/// Bytes that are read of the file at once.
const READ_BYTES: usize = 64 << 10;

/// What a zip begins with: the signature of its first part, or of the end of an empty one.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Reads a FIT file, a zip of them, or the export of an account.
///
/// The same bytes give the same calls in the same order. A part of an archive that is broken is reported as skipped,
/// with where it is; the other parts are read.
///
/// # Errors
/// [`Fault::Broken`] where the file itself cannot be read on; what came before stands. [`Fault::Stopped`] when the sink
/// wants no more, [`Fault::Io`] when the file cannot be read from its disk.
pub fn read<R: Read + Seek>(mut file: R, sink: &mut dyn Sink) -> Result<(), Fault> {
    file.rewind()?;
    let mut head = Vec::new();
    file.by_ref().take(4).read_to_end(&mut head)?;
    file.rewind()?;
    let (file, read_bytes) = Tracked::new(file);
    let mut context = Context::new(sink, read_bytes);
    if ZIP.contains(&head.as_slice()) {
        let mut nights = Nights::default();
        let mut archive = archive::Archives::new(&mut context, &mut nights);
        let outcome = archive.read(&mut BufReader::with_capacity(READ_BYTES, file));
        // Stopped means that no more may come; else what the parts held back is due, also after a break.
        if !matches!(outcome, Err(Fault::Stopped(_))) {
            nights.finish(&mut context)?;
        }
        outcome?;
    } else {
        map::read(file, &mut map::Asleep::AtOnce, &mut context)?;
    }
    context.reached_end()
}

#[cfg(test)]
mod tests;
