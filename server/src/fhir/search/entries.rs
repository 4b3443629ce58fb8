//! The observations of a page: found first, written behind.
//!
//! A page is written when everything about it is known, into one buffer that has room for all of it: a megabyte that is
//! copied once more, or sent in several pieces, costs a client more than waiting for the whole.

use std::collections::BTreeSet;

use engine::Result;
use engine::observe::Observed;

use super::Spot;
use super::merge::Said;
use crate::fhir::device::Origin;
use crate::fhir::render::{OBSERVATION_BYTES, ObservationWriter};

/// Most room that is made before anything is written, bytes; a longer page grows.
const RESERVED_BYTES_MAX: usize = 2 << 20;

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
    pieces: Vec<Piece>,
    /// How many observations.
    pub(super) count: usize,
    /// The last one's place, if more come behind it.
    pub(super) next: Option<Spot>,
}

impl Found {
    /// Adds to the end.
    pub(super) fn add(&mut self, piece: Piece) {
        self.count += piece.len();
        self.pieces.push(piece);
    }

    /// What measured the points of it, each once.
    ///
    /// # Errors
    /// As [`Observed::columns`].
    pub(super) fn origins(&self) -> Result<BTreeSet<Origin>> {
        let mut origins = BTreeSet::new();
        for piece in &self.pieces {
            if let Piece::Points(points) = piece {
                origins.extend(points.columns()?.runs().map(|run| Origin::of(&run)));
            }
        }
        Ok(origins)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As [`ObservationWriter::points`].
    pub(super) fn write(&self, writer: &mut ObservationWriter, out: &mut Vec<u8>) -> Result<()> {
        out.reserve(self.count.saturating_mul(OBSERVATION_BYTES).min(RESERVED_BYTES_MAX));
        for piece in &self.pieces {
            match piece {
                Piece::Points(points) => writer.points(points, out)?,
                Piece::Said(said) => {
                    writer.check_in(&said.row, said.field, out);
                }
            }
        }
        Ok(())
    }
}
