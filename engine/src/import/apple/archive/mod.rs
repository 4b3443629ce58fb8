//! `export.zip`: finds the exports among its parts, and inflates them as they are read.
//!
//! Nothing is unpacked, so that a part's name is only ever shown, never opened: paths that lead out of a folder lead
//! nowhere. The directory is walked without being kept; archives inside of an archive are not looked into. An archive
//! whose end is missing (a broken download) has no directory: its parts are then read one behind the other from the
//! beginning, as far as they go.
//!
//! The `zip` crate is not used here because it allocates for as many parts as the archive claims to have, before it has
//! seen one, and knows no way into an archive without a directory.

mod directory;
mod part;

use std::cell::Cell;
use std::io::{Read, Seek};

use self::directory::Directory;
use self::part::Part;
use super::document::{self, broken};
use super::prolog::{NoRoot, Prolog};
use super::{Metered, ROOT};
use crate::import::{Fault, Sink};

/// Parts that are looked into; an export has two that end in `.xml`.
const DOCUMENTS_MAX: usize = 256;

/// Why a part is not read.
const UNREADABLE: &str = "parts of the archive that cannot be read";

/// Whether these bytes begin an archive: with a part, or, when it has none, with its end.
pub(super) fn begins(magic: [u8; 4]) -> bool {
    matches!(&magic, b"PK\x03\x04" | b"PK\x05\x06")
}

/// Reads every export in the archive.
pub(super) fn read<R: Read + Seek>(
    file: &mut Metered<'_, R>,
    length: u64,
    position: &Cell<u64>,
    sink: &mut dyn Sink,
) -> Result<(), Fault> {
    match Directory::find(file, length)? {
        Some(directory) => {
            let mut exports = 0;
            for part in directory.documents(file)? {
                exports += usize::from(is_export(&part, file, position, sink)?);
            }
            if exports > 0 {
                return Ok(());
            }
            Err(broken(
                0,
                format!("no part of the archive is an Apple Health export, a document whose root is <{ROOT}>"),
            ))
        }
        None => salvage(file, length, position, sink),
    }
}

/// Reads a part if it is an export; whether it was.
fn is_export<R: Read + Seek>(
    part: &Part,
    file: &mut Metered<'_, R>,
    position: &Cell<u64>,
    sink: &mut dyn Sink,
) -> Result<bool, Fault> {
    let mut inflated = match part.open(file)? {
        Ok(inflated) => inflated,
        Err(what) => {
            sink.skipped(UNREADABLE, &format_args!("{}: {what}", part.name));
            return Ok(false);
        }
    };
    let why_not = match Prolog::read(&mut inflated) {
        Ok(prolog) if prolog.root == ROOT => {
            document::read(prolog, &mut inflated, position, sink).map_err(|fault| part.named(fault))?;
            return Ok(true);
        }
        Ok(_) => return Ok(false),
        Err(NoRoot::Broken(at, what)) => format!("byte {at}: {what}"),
        Err(NoRoot::Read(error)) => match super::failed_reading(0, error) {
            Fault::Broken { what, .. } => what,
            other => return Err(other),
        },
    };
    sink.skipped(UNREADABLE, &format_args!("{}: {why_not}", part.name));
    Ok(false)
}

/// Reads an archive without a directory, part by part; ends with the fault that it is broken.
fn salvage<R: Read + Seek>(
    file: &mut Metered<'_, R>,
    length: u64,
    position: &Cell<u64>,
    sink: &mut dyn Sink,
) -> Result<(), Fault> {
    let mut at = 0;
    for _ in 0..directory::PARTS_MAX {
        let Some(part) = Part::at(file, at)? else { break };
        if part.is_document() {
            is_export(&part, file, position, sink)?;
        }
        at = part.end(file, sink)?;
        sink.reached(at.min(length))?;
    }
    Err(broken(at, "the archive ends here, without the directory of its parts: it is not complete".to_owned()))
}

#[cfg(test)]
mod tests;
