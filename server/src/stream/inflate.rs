//! gzip and zstd undone piece by piece, a bounded piece at a time.

use std::io::Write as _;

use bytes::{Buf as _, Bytes};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::report::Stopped;
use crate::extract::inflate::{Coding, ZSTD_WINDOW_LOG_MAX};

/// Bytes of gzip that are undone at once: at most 1,032 times as many come out.
const GZIP_BYTES: usize = 1 << 10;
/// Bytes that are given out at once, of zstd.
const OUT_BYTES: usize = 256 << 10;

/// What is left to undo.
pub(super) struct Inflate {
    piece: Bytes,
    kind: Kind,
}

enum Kind {
    Plain(Bytes),
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<Zstd>),
}

struct Zstd {
    decoder: Decoder<'static>,
    out: Box<[u8]>,
    /// Nothing of a frame is open: the body may end here.
    is_between: bool,
}

impl Inflate {
    pub(super) fn new(coding: Option<Coding>) -> std::io::Result<Self> {
        let kind = match coding {
            None => Kind::Plain(Bytes::new()),
            Some(Coding::Gzip) => Kind::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new()))),
            Some(Coding::Zstd) => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                Kind::Zstd(Box::new(Zstd { decoder, out: vec![0; OUT_BYTES].into(), is_between: true }))
            }
        };
        Ok(Self { piece: Bytes::new(), kind })
    }

    /// Takes the next piece as it was sent. All of the one before must have been asked for.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.piece = piece;
    }

    /// The next plain bytes; `None` when there are no more of this piece.
    ///
    /// # Errors
    /// It is not what its coding says.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Stopped> {
        match &mut self.kind {
            Kind::Plain(last) => {
                *last = std::mem::take(&mut self.piece);
                Ok((!last.is_empty()).then_some(&last[..]))
            }
            Kind::Gzip(decoder) => {
                decoder.get_mut().clear();
                while decoder.get_ref().is_empty() && !self.piece.is_empty() {
                    let some = self.piece.split_to(self.piece.len().min(GZIP_BYTES));
                    decoder.write_all(&some).map_err(|_| broken(Coding::Gzip))?;
                    // What was undone is handed on when more comes, or now.
                    decoder.flush().map_err(|_| broken(Coding::Gzip))?;
                }
                Ok((!decoder.get_ref().is_empty()).then_some(decoder.get_ref()))
            }
            Kind::Zstd(zstd) => {
                let undone = zstd.undo(&mut self.piece).map_err(|_| broken(Coding::Zstd))?;
                Ok((undone > 0).then(|| zstd.out.get(..undone).unwrap_or_default()))
            }
        }
    }

    /// The body ended: may it here?
    ///
    /// # Errors
    /// It was cut.
    pub(super) fn finish(&mut self) -> Result<(), Stopped> {
        match &mut self.kind {
            Kind::Plain(_) => Ok(()),
            Kind::Gzip(decoder) => decoder.try_finish().map_err(|_| broken(Coding::Gzip)),
            Kind::Zstd(zstd) => zstd.is_between.then_some(()).ok_or_else(|| broken(Coding::Zstd)),
        }
    }
}

impl Zstd {
    /// Undoes what fits the room for it; how many bytes that are, 0 when nothing is left.
    fn undo(&mut self, piece: &mut Bytes) -> std::io::Result<usize> {
        loop {
            let mut from = InBuffer::around(&piece[..]);
            let mut to = OutBuffer::around(&mut *self.out);
            let hint = self.decoder.run(&mut from, &mut to)?;
            let (taken, given) = (from.pos(), to.pos());
            if taken > 0 || given > 0 {
                self.is_between = hint == 0;
            }
            piece.advance(taken);
            if given > 0 || taken == 0 {
                return Ok(given);
            }
        }
    }
}

fn broken(coding: Coding) -> Stopped {
    Stopped::because(match coding {
        Coding::Gzip => "the body is not valid gzip, or was cut",
        Coding::Zstd => "the body is not valid zstd, or was cut",
    })
}
