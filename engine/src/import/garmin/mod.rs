//! Garmin's files: FIT as watches write it, zips of them, and the export of a whole account.
//!
//! ```text
//! .fit ───────────────────────▶ fit: messages ─▶ map: values, counters, nights ─┐
//! .zip ─▶ import::archive: one part at a time ─▶ parts ─▶ .fit, JSON ────────────┼─▶ Sink
//! account export: its JSON ─▶ account: nights, totals of days ──────────────────┘
//! pushed summaries (JSON) ───▶ push ────────────────────────────────────────────▶ Sink
//! ```
//!
//! One pass over the file; memory holds one message, one entry of JSON and the nights of an archive, each bounded.
//! Nothing is unpacked to the disk, and names in archives lead nowhere: they only say what a part is.
//!
//! Not here: day totals of counters (`import::counter` and whoever keeps the readings).

mod account;
mod context;
mod fit;
mod json;
mod map;
mod night;
mod parts;
pub mod push;
mod reason;

use std::io::{BufReader, Read, Seek};
use std::rc::Rc;

use context::Context;
use night::Nights;
use parts::Parts;

pub(super) use fit::begins;
pub(super) use parts::is_ours;

use super::archive::{self, Archives, READ_BYTES, Tracked};
use super::{Fault, Sink, apple, mistaken};

/// The source of every point of this importer.
pub const SOURCE: &str = "garmin";

/// Reads a FIT file, a zip of them, or the export of an account.
///
/// The same bytes give the same calls in the same order. A part of an archive that is broken is reported as skipped,
/// with where it is; the other parts are read.
///
/// # Errors
/// [`Fault::Broken`] where the file itself cannot be read on; what came before stands. [`Fault::Foreign`] if nothing in
/// it is Garmin's, [`Fault::Parts`] at the end of an archive with a part that is broken. [`Fault::Stopped`] when the sink
/// wants no more, [`Fault::Io`] when the file cannot be read from its disk.
pub fn read<R: Read + Seek>(mut file: R, sink: &mut dyn Sink) -> Result<(), Fault> {
    file.rewind()?;
    let mut head = Vec::new();
    file.by_ref().take(4).read_to_end(&mut head)?;
    file.rewind()?;
    let is_archive = archive::begins(&head);
    if !is_archive {
        if apple::is_export(&mut file)? {
            return Err(Fault::Foreign { what: mistaken::APPLE_HEALTH.to_owned() });
        }
        file.rewind()?;
    }
    let (file, read_bytes) = Tracked::new(file);
    let mut context = Context::new(sink, Rc::clone(&read_bytes));
    if is_archive {
        let mut nights = Nights::default();
        let mut parts = Parts::new(&mut context, &mut nights);
        let mut archive = Archives::new(&mut parts, read_bytes);
        let outcome = archive.read(&mut BufReader::with_capacity(READ_BYTES, file));
        let outcome = outcome.and_then(|()| parts.finish());
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
