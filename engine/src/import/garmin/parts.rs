//! What the parts of an archive are to us, by their names: files of a watch, and what an account's export says in JSON.

use std::fmt;
use std::io::Read;

use super::context::Context;
use super::night::Nights;
use super::{account, map, reason};
use crate::import::archive::{self, Flaw};
use crate::import::{Fault, apple, mistaken};

/// What an archive without anything of Garmin's is told.
const NOTHING: &str = "nothing in the archive can be read as a watch's file (.fit) or an account's export";

/// Reads the parts of an archive.
pub(super) struct Parts<'a, 's> {
    context: &'a mut Context<'s>,
    nights: &'a mut Nights,
    /// Whether the archive is one of Garmin's: it has a file of a watch, or of an account's export.
    is_ours: bool,
    /// Whether it has an export of Apple Health.
    has_apples: bool,
    /// The first part that is broken, and where.
    broken: Option<String>,
    /// The first part that may be of use and is not read, and why.
    unread: Option<String>,
}

impl<'a, 's> Parts<'a, 's> {
    pub(super) fn new(context: &'a mut Context<'s>, nights: &'a mut Nights) -> Self {
        Self { context, nights, is_ours: false, has_apples: false, broken: None, unread: None }
    }

    /// What is to be said of an archive that was read to its end.
    ///
    /// # Errors
    /// [`Fault::Parts`] if a part is broken, [`Fault::Foreign`] if there is nothing of Garmin's in it.
    pub(super) fn finish(self) -> Result<(), Fault> {
        if self.has_apples && !self.is_ours {
            return Err(Fault::Foreign { what: mistaken::APPLE_HEALTH.to_owned() });
        }
        if let Some(what) = self.broken {
            return Err(Fault::Parts { what });
        }
        if self.is_ours {
            return Ok(());
        }
        let why = self.unread.map(|unread| format!("; {unread}")).unwrap_or_default();
        Err(Fault::Foreign { what: format!("{NOTHING}{why}") })
    }

    /// Notes why a part is not read that may be of use.
    fn leave(&mut self, path: &[String], why: fmt::Arguments<'_>) {
        self.unread.get_or_insert_with(|| format!("`{}` {why}", path.join(": ")));
    }
}

/// Whether a part's name says that the archive is one of Garmin's: a watch's file, or one of an account's export,
/// whatever it holds.
pub(in crate::import) fn is_ours(name: &str) -> bool {
    let is_account = |folder: &str| folder == "di_connect" || folder.starts_with("di-connect-");
    let is_in_account = || name.to_ascii_lowercase().split(['/', '\\']).any(is_account);
    archive::extension(name).as_deref() == Some("fit") || is_in_account()
}

impl archive::Reader for Parts<'_, '_> {
    fn part(&mut self, path: &[String], written_at: Option<i64>, mut content: &mut dyn Read) -> Result<(), Fault> {
        let name = path.last().map(String::as_str).unwrap_or_default();
        path.clone_into(&mut self.context.parts);
        self.nights.written_at = written_at;
        self.is_ours |= is_ours(name);
        let read = if archive::extension(name).as_deref() == Some("fit") {
            map::read(content, &mut map::Asleep::Held(self.nights), self.context)
        } else if let Some(kind) = account::Kind::of(&archive::file_name(name)) {
            self.is_ours = true;
            kind.read(content, self.nights, self.context)
        } else {
            self.context.skipped(reason::OTHER_FILE, &"not read");
            let may_be_apples = !self.is_ours && archive::extension(name).as_deref() == Some("xml");
            self.has_apples |= may_be_apples && apple::is_export(&mut content)?;
            Ok(())
        };
        self.context.parts.clear();
        read
    }

    fn flaw(&mut self, path: &[String], flaw: Flaw<'_>) {
        path.clone_into(&mut self.context.parts);
        match flaw {
            Flaw::Encrypted => {
                self.leave(path, format_args!("is encrypted"));
                self.context.skipped(reason::ENCRYPTED, &"not read");
            }
            Flaw::Method => {
                self.leave(path, format_args!("is compressed in a way that is not read"));
                self.context.skipped(reason::METHOD, &"not read");
            }
            Flaw::TooDeep => {
                self.leave(path, format_args!("has {} archives around it and is not read", archive::DEPTH_MAX));
                self.context.skipped(reason::TOO_DEEP, &format_args!("{} archives around it", archive::DEPTH_MAX));
            }
            Flaw::Broken(at, what) => {
                self.broken.get_or_insert_with(|| format!("{}: broken at byte {at}: {what}", path.join(": ")));
                self.context.skipped(reason::BROKEN_FILE, &format_args!("broken at byte {at}: {what}"));
            }
        }
        self.context.parts.clear();
    }

    fn progress(&mut self) -> Result<(), Fault> {
        self.context.progress()
    }
}
