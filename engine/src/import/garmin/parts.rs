//! What the parts of an archive are to us, by their names: files of a watch, and what an account's export says in JSON.

use std::io::Read;

use super::context::Context;
use super::night::Nights;
use super::{account, map, reason};
use crate::import::Fault;
use crate::import::archive::{self, Flaw};

/// Reads the parts of an archive.
pub(super) struct Parts<'a, 's> {
    pub(super) context: &'a mut Context<'s>,
    pub(super) nights: &'a mut Nights,
}

impl archive::Reader for Parts<'_, '_> {
    fn part(&mut self, path: &[String], written_at: Option<i64>, content: &mut dyn Read) -> Result<(), Fault> {
        let name = path.last().map(String::as_str).unwrap_or_default();
        path.clone_into(&mut self.context.parts);
        self.nights.written_at = written_at;
        let read = if archive::extension(name).as_deref() == Some("fit") {
            map::read(content, &mut map::Asleep::Held(self.nights), self.context)
        } else if let Some(kind) = account::Kind::of(&archive::file_name(name)) {
            kind.read(content, self.nights, self.context)
        } else {
            self.context.skipped(reason::OTHER_FILE, &"not read");
            Ok(())
        };
        self.context.parts.clear();
        read
    }

    fn flaw(&mut self, path: &[String], flaw: Flaw<'_>) {
        path.clone_into(&mut self.context.parts);
        match flaw {
            Flaw::Encrypted => self.context.skipped(reason::ENCRYPTED, &"not read"),
            Flaw::Method => self.context.skipped(reason::METHOD, &"not read"),
            Flaw::TooDeep => {
                self.context.skipped(reason::TOO_DEEP, &format_args!("{} archives around it", archive::DEPTH_MAX));
            }
            Flaw::Broken(at, what) => {
                self.context.skipped(reason::BROKEN_FILE, &format_args!("broken at byte {at}: {what}"));
            }
        }
        self.context.parts.clear();
    }

    fn progress(&mut self) -> Result<(), Fault> {
        self.context.progress()
    }
}
