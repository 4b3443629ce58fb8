//! Looks for damage in the log, and gives damaged places up after asking.
//!
//! A repair writes the file anew without its damaged frames: valid ones are copied byte for byte, and a gap frame
//! stands where seqs are lost, so that a replay knows that somebody gave them up. The new file replaces the old one by
//! a rename; a crash leaves the one or the other.

use std::path::Path;

pub(crate) use super::scan::Damage;

use super::file::{self, Found};
use super::frame;
use super::scan::{self, Context, Keep, Verdict};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::point::Seq;

/// A repair in progress; a leftover of a crash is overwritten.
const TEMP_NAME: &str = "repair.tmp";

/// Removes what a crash left of a repair.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn remove_leftover(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let temp = dir.join(TEMP_NAME);
    match disk.remove(&temp) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", &temp, error)),
        Ok(()) => disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error)),
    }
}

/// Every damaged place of the log, in order. Reads all files with all columns; changes nothing. A torn tail is no
/// damage.
///
/// # Errors
/// [`Error::Io`], [`Error::Version`].
pub(crate) fn verify(disk: &dyn Disk, dir: &Path, watermark: Seq) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    walk(disk, dir, watermark, &mut |check| {
        damages.extend(check.damages());
        Ok(())
    })?;
    Ok(damages)
}

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Repaired {
    /// Places that were given up.
    pub(crate) dropped: u64,
    /// Places that stay damaged, because `agree` said no to one in the same file.
    pub(crate) refused: u64,
}

/// Asks `agree` about each damaged place. A file is written anew when it agreed to all of that file's.
///
/// # Errors
/// [`Error::Full`], [`Error::Io`], [`Error::Version`]; files that were done by then stay repaired.
pub(crate) fn repair(
    disk: &dyn Disk,
    dir: &Path,
    watermark: Seq,
    agree: &mut dyn FnMut(&Damage) -> bool,
) -> Result<Repaired> {
    let mut repaired = Repaired::default();
    walk(disk, dir, watermark, &mut |check| {
        let damages = check.damages();
        let answers: Vec<bool> = damages.iter().map(&mut *agree).collect();
        let count = damages.len() as u64;
        if answers.contains(&false) {
            repaired.refused += count;
        } else if count > 0 {
            check.rewrite(disk, dir)?;
            repaired.dropped += count;
        }
        Ok(())
    })?;
    Ok(repaired)
}

/// One file of the log, judged; or one that is not there at all.
struct Check<'a> {
    found: &'a Found,
    bytes: &'a [u8],
    verdict: &'a Verdict<'a>,
}

/// Judges each file of the log.
fn walk(disk: &dyn Disk, dir: &Path, watermark: Seq, visit: &mut dyn FnMut(Check<'_>) -> Result<()>) -> Result<()> {
    let files = file::list(disk, dir)?;
    let mut expected = Seq(watermark.0 + 1);
    if let Some(first) = files.first() {
        if first.first_seq > expected {
            let absent = Found { path: file::path(dir, expected), first_seq: expected, bytes: 0 };
            let context = Context { expected, next_first: Some(first.first_seq), watermark };
            let verdict = scan::judge(&absent, &[], context, &|_| true)?;
            visit(Check { found: &absent, bytes: &[], verdict: &verdict })?;
        }
        expected = first.first_seq;
    }
    for (nth, found) in files.iter().enumerate() {
        let bytes = file::read(disk, &found.path)?;
        let context = Context { expected, next_first: files.get(nth + 1).map(|next| next.first_seq), watermark };
        let verdict = scan::judge(found, &bytes, context, &scan::has_sound_columns)?;
        visit(Check { found, bytes: &bytes, verdict: &verdict })?;
        expected = verdict.next_seq;
    }
    Ok(())
}

impl Check<'_> {
    fn damages(&self) -> Vec<Damage> {
        self.verdict.half_header.iter().chain(&self.verdict.damages).cloned().collect()
    }

    /// Writes the file anew with what counts; removes it if nothing does.
    fn rewrite(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let path = &self.found.path;
        if self.verdict.is_empty() {
            disk.remove(path).map_err(|error| Error::io("remove", path, error))?;
        } else {
            let content = self.content()?;
            let temp = dir.join(TEMP_NAME);
            remove_leftover(disk, dir)?;
            disk.create(&temp, 0)
                .and_then(|file| {
                    file.write_at(&content, 0)?;
                    file.sync_data()
                })
                .and_then(|()| disk.rename(&temp, path))
                .map_err(|error| Error::io("write", &temp, error))?;
        }
        disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
    }

    fn content(&self) -> Result<Vec<u8>> {
        let salt = self.verdict.salt.unwrap_or_else(file::random_salt);
        let mut content = file::encode_header(self.found.first_seq, salt);
        let mut gap = Vec::new();
        for keep in &self.verdict.keep {
            match keep {
                Keep::Frame(at, frame) => {
                    content.extend_from_slice(self.bytes.get(*at..at + frame.bytes()).unwrap_or_default());
                }
                Keep::Gap(first_seq, lost) => {
                    frame::encode_gap(&mut gap, *first_seq, *lost)?;
                    frame::seal(&mut gap, salt);
                    content.extend_from_slice(&gap);
                }
            }
        }
        Ok(content)
    }
}
