//! The observations of a page: found first, written behind.
//!
//! Everything that can fail has happened when the first of them is written: a page is a thousand observations at most, and
//! as points these are small. Many of them leave while the others are still written, so that a client reads meanwhile and
//! no page is ever in memory as a whole.

use std::collections::VecDeque;
use std::mem;

use axum::body::Bytes;
use engine::Result;
use engine::observe::Observed;
use futures::{Stream, stream};

use super::Spot;
use super::merge::Said;
use crate::fhir::render::ObservationWriter;

/// A page with more observations than these leaves in pieces of as many: about 128 KiB. The connection takes three of them
/// before it sends, so that what is sent costs few calls.
const ROWS_AT_ONCE: usize = 128;

/// Observations that stand beside each other.
#[derive(Debug)]
pub(super) enum Piece {
    Points(Observed),
    Said(Said),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Points(points) => points.len(),
            Self::Said(_) => 1,
        }
    }
}

/// What a page holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pieces: VecDeque<Piece>,
    /// How many observations.
    pub(super) count: usize,
    /// The last one's place, if more come behind it.
    pub(super) next: Option<Spot>,
}

impl Found {
    /// Adds to the end.
    pub(super) fn add(&mut self, piece: Piece) {
        self.count += piece.len();
        self.pieces.push_back(piece);
    }

    /// Whether it leaves in more than one piece.
    pub(super) fn is_long(&self) -> bool {
        self.count > ROWS_AT_ONCE
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As [`ObservationWriter::points`].
    pub(super) fn write(mut self, writer: &mut ObservationWriter, out: &mut Vec<u8>) -> Result<()> {
        self.write_some(usize::MAX, writer, out)
    }

    /// Writes all of it piece by piece, behind `head`; `tail` follows.
    pub(super) fn stream(
        self,
        writer: ObservationWriter,
        head: &[u8],
        tail: Vec<u8>,
    ) -> impl Stream<Item = Result<Bytes>> + use<> {
        let begun = Leaving { found: self, writer, out: head.to_vec(), tail };
        stream::try_unfold(Some(begun), async |left| {
            let Some(mut leaving) = left else { return Ok(None) };
            leaving.found.write_some(ROWS_AT_ONCE, &mut leaving.writer, &mut leaving.out)?;
            let mut out = mem::take(&mut leaving.out);
            if !leaving.found.pieces.is_empty() {
                return Ok(Some((Bytes::from(out), Some(leaving))));
            }
            out.extend_from_slice(&leaving.tail);
            Ok(Some((Bytes::from(out), None)))
        })
    }

    /// Writes so many of those that are left, or all.
    fn write_some(&mut self, rows: usize, writer: &mut ObservationWriter, out: &mut Vec<u8>) -> Result<()> {
        let mut left = rows;
        while left > 0
            && let Some(piece) = self.pieces.pop_front()
        {
            match piece {
                Piece::Points(points) => {
                    let (now, later) = points.split_at(left);
                    writer.points(&now, out)?;
                    left -= now.len();
                    if !later.is_empty() {
                        self.pieces.push_front(Piece::Points(later));
                    }
                }
                Piece::Said(said) => {
                    writer.check_in(&said.row, said.field, out);
                    left -= 1;
                }
            }
        }
        Ok(())
    }
}

/// A page on its way.
struct Leaving {
    found: Found,
    writer: ObservationWriter,
    /// What is written and has not left.
    out: Vec<u8>,
    tail: Vec<u8>,
}
