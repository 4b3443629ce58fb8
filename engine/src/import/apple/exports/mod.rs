//! `export.zip`: finds the exports among its parts. The phone names them in its own language, and one is known by its
//! root element.

use std::cell::Cell;
use std::fmt;
use std::io::Read;
use std::rc::Rc;

use super::document::{self, broken};
use super::prolog::{NoRoot, Prolog};
use super::{REPORT_BYTES, ROOT};
use crate::import::archive::{self, Archives, Flaw};
use crate::import::{Fault, Sink, garmin, mistaken};

/// Why a part is not read.
const UNREADABLE: &str = "parts of the archive that cannot be read";

/// Reads every export in an archive, of which `read_bytes` says how far it is read.
pub(super) fn read(file: impl Read, read_bytes: &Rc<Cell<u64>>, sink: &mut dyn Sink) -> Result<(), Fault> {
    let mut exports = Exports {
        sink,
        read_bytes: Rc::clone(read_bytes),
        told_bytes: 0,
        last: None,
        broken: None,
        has_garmins: false,
    };
    let mut archive = Archives::new(&mut exports, Rc::clone(read_bytes));
    let outcome = archive.read(&mut std::io::BufReader::with_capacity(archive::READ_BYTES, file));
    if let Err(fault @ (Fault::Stopped(_) | Fault::Io(_))) = outcome {
        return Err(fault);
    }
    // An archive that breaks off is told as the export that does.
    if let Some(fault) = exports.broken {
        return Err(fault);
    }
    if outcome.is_ok() && exports.last.is_none() {
        let what = if exports.has_garmins {
            mistaken::GARMIN.to_owned()
        } else {
            format!("no part of the archive is an Apple Health export, a document whose root is <{ROOT}>")
        };
        return Err(Fault::Foreign { what });
    }
    outcome
}

struct Exports<'s> {
    sink: &'s mut dyn Sink,
    read_bytes: Rc<Cell<u64>>,
    told_bytes: u64,
    /// The last one, if there was one.
    last: Option<Vec<String>>,
    /// Where the first of them broke.
    broken: Option<Fault>,
    /// Whether a part is one of Garmin's.
    has_garmins: bool,
}

impl Exports<'_> {
    fn skip(&mut self, path: &[String], why: &dyn fmt::Display) {
        self.sink.skipped(UNREADABLE, &format_args!("{}: {why}", path.join(": ")));
    }

    fn broken(&mut self, path: &[String], at: u64, what: &dyn fmt::Display) {
        self.broken.get_or_insert_with(|| broken(at, format!("{}: {what}", path.join(": "))));
    }
}

fn extension(path: &[String]) -> String {
    path.last().and_then(|name| archive::extension(name)).unwrap_or_default()
}

impl archive::Reader for Exports<'_> {
    fn part(&mut self, path: &[String], _: Option<i64>, mut content: &mut dyn Read) -> Result<(), Fault> {
        self.has_garmins |= path.last().is_some_and(|name| garmin::is_ours(name));
        if extension(path) != "xml" || self.broken.is_some() {
            return Ok(());
        }
        let prolog = match Prolog::read(&mut content) {
            Ok(prolog) if prolog.root == ROOT => prolog,
            Ok(_) => return Ok(()),
            Err(NoRoot::Broken(at, what)) => {
                self.skip(path, &format_args!("byte {at}: {what}"));
                return Ok(());
            }
            Err(NoRoot::Read(error)) => return Err(Fault::Io(error)),
        };
        self.last = Some(path.to_vec());
        match document::read(prolog, content, &self.read_bytes, self.sink) {
            Err(Fault::Broken { at, what }) => {
                self.broken(path, at, &what);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn flaw(&mut self, path: &[String], flaw: Flaw<'_>) {
        match flaw {
            // Nothing else in an export is of use.
            _ if !["xml", "zip"].contains(&extension(path).as_str()) => {}
            Flaw::Encrypted => self.skip(path, &"it is encrypted"),
            Flaw::Method => self.skip(path, &"it is packed in a way that is not read"),
            Flaw::TooDeep => self.skip(path, &"it lies in too many archives"),
            Flaw::Broken(at, what) if self.last.as_deref() == Some(path) => self.broken(path, at, what),
            Flaw::Broken(at, what) => self.skip(path, &format_args!("byte {at}: {what}")),
        }
    }

    fn progress(&mut self) -> Result<(), Fault> {
        let read_bytes = self.read_bytes.get();
        if read_bytes - self.told_bytes >= REPORT_BYTES {
            self.told_bytes = read_bytes;
            self.sink.reached(read_bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
