//! Judges the bytes of one log file: what counts, what a crash tore, what is damaged. Pure: no I/O, changes nothing.
//!
//! The question at an invalid frame is whether it was ever durable. It was, if anything later says so: a valid frame
//! behind it whose `synced_through` reaches its seqs, a later file (which begins only after its predecessor is
//! synced), or the manifest's watermark. Then acknowledged points are damaged. Otherwise it is the torn tail of a
//! crash: nobody was ever told that it was stored, and it does not count, nor does anything behind it.

use std::path::PathBuf;

use super::file::{self, FRAMES_AT, Found};
use super::frame::{self, ALIGN_BYTES, DecodeError, Frame};
use crate::error::Result;
use crate::point::Seq;

/// A point takes at least this much of a frame: bounds the loss where only a length in bytes is known.
const POINT_BYTES_MIN: u64 = 16;

/// A damaged place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where in it.
    pub(crate) offset: u64,
    /// What was found there.
    pub(crate) what: String,
    /// Acknowledged points that are lost with it, at most; those in Parquet do not count.
    pub(crate) points_lost_at_most: u64,
}

/// What is known from outside the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Seq that the file's first point must have.
    pub(crate) expected: Seq,
    /// First seq of the next file, if there is one.
    pub(crate) next_first: Option<Seq>,
    /// Everything up to it is in Parquet.
    pub(crate) watermark: Seq,
}

/// What a sound log would have in this file.
#[derive(Debug)]
pub(crate) enum Keep<'a> {
    /// A frame, and where it is.
    Frame(usize, Frame<'a>),
    /// Seqs that are lost: from the first, so many.
    Gap(Seq, u64),
}

/// The judgement of one file.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    /// The salt of its frames; `None` if its header is lost.
    pub(crate) salt: Option<u32>,
    /// What counts, in order.
    pub(crate) keep: Vec<Keep<'a>>,
    /// Damage of frames, in order of offset. Points behind it cannot be used before it is repaired.
    pub(crate) damages: Vec<Damage>,
    /// One copy of the header is lost; the file can be used.
    pub(crate) half_header: Option<Damage>,
    /// Seq that the point behind this file must have.
    pub(crate) next_seq: Seq,
    /// Where the last frame that counts ends.
    pub(crate) end: usize,
    /// The highest seq that a frame says was durable.
    pub(crate) synced_through: Seq,
}

/// Bytes that are a valid frame, or are not.
enum Piece<'a> {
    Good(usize, Frame<'a>),
    Bad(usize, String),
}

/// Judges a file. `is_sound` may look into a frame's body; one that it refuses counts as invalid.
///
/// # Errors
/// [`crate::Error::Version`] if a newer program wrote the file.
pub(crate) fn judge<'a>(
    found: &Found,
    bytes: &'a [u8],
    context: Context,
    is_sound: &dyn Fn(&Frame<'_>) -> bool,
) -> Result<Verdict<'a>> {
    let mut verdict = Verdict {
        salt: None,
        keep: Vec::new(),
        damages: Vec::new(),
        half_header: None,
        next_seq: context.expected,
        end: FRAMES_AT.min(bytes.len()),
        synced_through: Seq(0),
    };
    let header = file::decode_header(&found.path, bytes)?.filter(|header| header.first_seq == found.first_seq);
    let pieces = match header {
        Some(header) => {
            verdict.salt = Some(header.salt);
            pieces(bytes, header.salt, is_sound)
        }
        // Frames are written only after the header is synced: without any, the file was not born yet.
        None if is_zero(bytes.get(FRAMES_AT..).unwrap_or_default()) => Vec::new(),
        None => vec![Piece::Bad(0, "the file's header is damaged in both copies".to_owned())],
    };
    if header.is_some_and(|header| !header.is_whole) && !pieces.is_empty() {
        let what = "one of the two copies of the file's header is damaged".to_owned();
        verdict.half_header = Some(Damage { path: found.path.clone(), offset: 0, what, points_lost_at_most: 0 });
    }
    verdict.weigh(found, bytes, context, pieces);
    Ok(verdict)
}

impl Verdict<'_> {
    /// Whether nothing in the file counts: it can be removed.
    pub(crate) fn is_empty(&self) -> bool {
        self.keep.is_empty()
    }
}

impl<'a> Verdict<'a> {
    fn weigh(&mut self, found: &Found, bytes: &'a [u8], context: Context, pieces: Vec<Piece<'a>>) {
        let is_headless = self.salt.is_none() && !pieces.is_empty();
        let claims = claims(&pieces);
        self.synced_through = claims.first().copied().unwrap_or_default();
        let firsts: Vec<Option<Seq>> = firsts(&pieces, context.next_first);
        for ((piece, claimed), next) in pieces.into_iter().zip(claims).zip(firsts) {
            match piece {
                Piece::Good(at, frame) if frame.first_seq < self.next_seq => {
                    let what = format!("seq {} comes again, {} was expected", frame.first_seq, self.next_seq);
                    self.damage(found, at, what, self.lost(context, frame.last_seq().0 + 1));
                }
                Piece::Good(at, frame) => {
                    self.jump(found, at, context, frame.first_seq);
                    self.keep.push(Keep::Frame(at, frame));
                    self.next_seq = Seq(frame.last_seq().0 + 1);
                    self.end = at + frame.bytes();
                }
                Piece::Bad(at, what) => {
                    let durable = claimed.max(context.watermark);
                    if durable < self.next_seq && context.next_first.is_none() && !is_headless {
                        return;
                    }
                    let behind = next.filter(|next| *next > self.next_seq);
                    let unknown = used_bytes(bytes).saturating_sub(at) as u64 / POINT_BYTES_MIN;
                    let lost = match (behind, next) {
                        (Some(behind), _) => self.lost(context, behind.0),
                        (None, Some(_)) => 0,
                        (None, None) => unknown,
                    };
                    self.damage(found, at, what, lost);
                    self.skip_to(behind);
                }
            }
        }
        if let Some(next) = context.next_first {
            self.jump(found, self.end, context, next);
        }
    }

    /// Goes on at `next`; seqs that are missing before it are damage, unless all of them are in Parquet.
    fn jump(&mut self, found: &Found, at: usize, context: Context, next: Seq) {
        if next > self.next_seq {
            if next.0 > context.watermark.0.saturating_add(1) {
                let what = format!("seqs {} to {} are missing", self.next_seq, next.0 - 1);
                self.damage(found, at, what, self.lost(context, next.0));
            }
            self.skip_to(Some(next));
        }
    }

    fn skip_to(&mut self, next: Option<Seq>) {
        if let Some(next) = next {
            self.keep.push(Keep::Gap(self.next_seq, next.0 - self.next_seq.0));
            self.next_seq = next;
        }
    }

    /// Points from the next one up to `end` (exclusive) that are not in Parquet.
    fn lost(&self, context: Context, end: u64) -> u64 {
        end.saturating_sub(self.next_seq.0.max(context.watermark.0.saturating_add(1)))
    }

    fn damage(&mut self, found: &Found, at: usize, what: String, points_lost_at_most: u64) {
        self.damages.push(Damage { path: found.path.clone(), offset: at as u64, what, points_lost_at_most });
    }
}

/// For each piece the highest seq that it or a later one says was durable.
fn claims(pieces: &[Piece<'_>]) -> Vec<Seq> {
    let mut claims = vec![Seq(0); pieces.len()];
    let mut highest = Seq(0);
    for (claim, piece) in claims.iter_mut().zip(pieces).rev() {
        if let Piece::Good(_, frame) = piece {
            highest = highest.max(frame.synced_through);
        }
        *claim = highest;
    }
    claims
}

/// For each piece the first seq of the next valid frame behind it, or of the next file.
fn firsts(pieces: &[Piece<'_>], next_first: Option<Seq>) -> Vec<Option<Seq>> {
    let mut firsts = vec![None; pieces.len()];
    let mut next = next_first;
    for (first, piece) in firsts.iter_mut().zip(pieces).rev() {
        *first = next;
        if let Piece::Good(_, frame) = piece {
            next = Some(frame.first_seq);
        }
    }
    firsts
}

fn pieces<'a>(bytes: &'a [u8], salt: u32, is_sound: &dyn Fn(&Frame<'_>) -> bool) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut at = FRAMES_AT;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match frame::decode(rest, salt) {
            Ok(frame) if is_sound(&frame) => {
                pieces.push(Piece::Good(at, frame));
                at += frame.bytes();
            }
            Ok(frame) => {
                pieces.push(Piece::Bad(at, "the checksums of a frame hold, its columns do not".to_owned()));
                at += frame.bytes();
            }
            Err(error) => {
                let next = next_valid(bytes, at + ALIGN_BYTES, salt);
                if next.is_some() || !is_zero(rest) {
                    pieces.push(Piece::Bad(at, error.to_string()));
                }
                let Some(next) = next else { break };
                at = next;
            }
        }
    }
    pieces
}

/// Where the next valid frame begins. The salt keeps this from being fooled by what a client put into its values, and
/// the header's own checksum from computing many checksums over the same bytes.
fn next_valid(bytes: &[u8], from: usize, salt: u32) -> Option<usize> {
    let words = bytes.get(from..)?.as_chunks::<ALIGN_BYTES>().0;
    words.iter().enumerate().find_map(|(nth, word)| {
        let is_magic = word.starts_with(&frame::MAGIC_POINTS) || word.starts_with(&frame::MAGIC_GAP);
        let at = from + nth * ALIGN_BYTES;
        (is_magic && frame::decode(bytes.get(at..)?, salt).is_ok()).then_some(at)
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_le_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// Length without the zeros at the end.
fn used_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Whether a frame's columns can be read, whatever its metrics are.
pub(crate) fn has_sound_columns(frame: &Frame<'_>) -> bool {
    let mut metrics = 0;
    let result = frame.batches(&mut |_| {
        metrics += 1;
        Ok(crate::point::MetricId(metrics))
    });
    !matches!(result, Err(DecodeError::Blank | DecodeError::Torn | DecodeError::Corrupt(_)))
}
