//! Undoing `Content-Encoding: gzip` and `zstd`, piece by piece, with a bound on what comes out.

use std::io::{self, Write};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::payload::Lease;
use crate::error::ApiError;

/// Largest zstd window that is taken, as a power of two: 8 MiB, what RFC 8878 (section 3.1.1.1.2) asks everyone for.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// The one coding of a request; `None` if it is sent as it is. Anything else, two codings included, is 415.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(None);
        };
        let word = value.to_str().unwrap_or_default().trim();
        if word.eq_ignore_ascii_case("identity") || word.is_empty() {
            Ok(None)
        } else if word.eq_ignore_ascii_case("gzip") || word.eq_ignore_ascii_case("x-gzip") {
            Ok(Some(Self::Gzip))
        } else if word.eq_ignore_ascii_case("zstd") {
            Ok(Some(Self::Zstd))
        } else {
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding must be gzip, zstd or identity"))
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Adds to a 415 which codings there are (RFC 7694).
pub(crate) fn name_codings(mut response: Response) -> Response {
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
    }
    response
}

/// A decoder of zstd whose window is bounded.
pub(crate) fn zstd_decoder<W: Write>(out: W) -> io::Result<zstd::stream::write::Decoder<'static, W>> {
    let mut decoder = zstd::stream::write::Decoder::new(out)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Why inflating stopped.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It would be longer than this.
    TooLong(usize),
    /// Memory for bodies is used up.
    NoRoom(ApiError),
    /// It is not what its coding says, or it was cut.
    Broken,
}

/// Takes coded bytes, keeps plain ones.
pub(super) struct Inflater(Decoder);

enum Decoder {
    Gzip(Box<flate2::write::MultiGzDecoder<Bounded>>),
    Zstd(zstd::stream::write::Decoder<'static, Bounded>),
}

impl Inflater {
    pub(super) fn new(coding: Coding, bytes_max: usize, lease: Lease) -> io::Result<Self> {
        let out = Bounded { bytes: Vec::new(), bytes_max, lease, refusal: None };
        Ok(Self(match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(flate2::write::MultiGzDecoder::new(out))),
            Coding::Zstd => Decoder::Zstd(zstd_decoder(out)?),
        }))
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let written = match &mut self.0 {
            Decoder::Gzip(decoder) => decoder.write_all(piece),
            Decoder::Zstd(decoder) => decoder.write_all(piece),
        };
        written.map_err(|_| self.refusal())
    }

    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Lease), Refusal> {
        let finished = match &mut self.0 {
            Decoder::Gzip(decoder) => decoder.try_finish(),
            Decoder::Zstd(decoder) => decoder.do_finish(),
        };
        finished.map_err(|_| self.refusal())?;
        let out = match self.0 {
            Decoder::Gzip(decoder) => decoder.finish().map_err(|_| Refusal::Broken)?,
            Decoder::Zstd(decoder) => decoder.into_inner(),
        };
        Ok((out.bytes, out.lease))
    }

    fn refusal(&mut self) -> Refusal {
        let out = match &mut self.0 {
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zstd(decoder) => decoder.get_mut(),
        };
        out.refusal.take().unwrap_or(Refusal::Broken)
    }
}

/// Memory that refuses to grow beyond its bound.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    lease: Lease,
    refusal: Option<Refusal>,
}

impl Bounded {
    fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let total = self.bytes.len() + piece.len();
        if total > self.bytes_max {
            return Err(Refusal::TooLong(self.bytes_max));
        }
        self.lease.grow_to(total).map_err(Refusal::NoRoom)?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.take(piece) {
            Ok(()) => Ok(piece.len()),
            Err(refusal) => {
                self.refusal = Some(refusal);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::Room;
    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(coding: Coding, coded: &[u8], bytes_max: usize, room_bytes: usize) -> Result<Vec<u8>, Refusal> {
        let room = Room::new(room_bytes);
        let mut inflater = Inflater::new(coding, bytes_max, Lease::new(&room)).unwrap();
        for piece in coded.chunks(100) {
            inflater.push(piece)?;
        }
        inflater.finish().map(|(bytes, _)| bytes)
    }

    #[test]
    fn what_was_coded_comes_out_again() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(n).to_string().into_bytes()).collect();
        assert_eq!(inflate(Coding::Gzip, &gzip(&plain), 4 << 20, 8 << 20).unwrap(), plain);
        let coded = zstd::encode_all(&plain[..], 1).unwrap();
        assert_eq!(inflate(Coding::Zstd, &coded, 4 << 20, 8 << 20).unwrap(), plain);
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let zeros = vec![0; 4 << 20];
        let bombs = [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd::encode_all(&zeros[..], 1).unwrap())];
        for (coding, bomb) in bombs {
            assert!(bomb.len() < zeros.len() / 50, "{coding:?}: {}", bomb.len());
            assert!(matches!(inflate(coding, &bomb, 1 << 20, 8 << 20), Err(Refusal::TooLong(_))), "{coding:?}");
            assert!(matches!(inflate(coding, &bomb, 8 << 20, 1 << 20), Err(Refusal::NoRoom(_))), "{coding:?}");
        }
    }

    #[test]
    fn what_is_not_coded_or_cut_is_broken() {
        let coded = gzip(&[7; 5_000]);
        assert!(matches!(inflate(Coding::Gzip, &coded[..coded.len() - 1], 1 << 20, 1 << 20), Err(Refusal::Broken)));
        let coded = zstd::encode_all(&[7; 5_000][..], 1).unwrap();
        assert!(matches!(inflate(Coding::Zstd, &coded[..coded.len() - 1], 1 << 20, 1 << 20), Err(Refusal::Broken)));
        for coding in [Coding::Gzip, Coding::Zstd] {
            assert!(matches!(inflate(coding, b"{\"data_points\":[]}", 1 << 20, 1 << 20), Err(Refusal::Broken)));
        }
    }

    #[test]
    fn codings_are_read_from_the_header() {
        let coding = |word: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(word));
            Coding::of(&headers).map_err(|error| error.status().as_u16())
        };
        assert_eq!(Coding::of(&HeaderMap::new()).unwrap(), None);
        assert_eq!(coding("identity"), Ok(None));
        assert_eq!(coding("GZIP"), Ok(Some(Coding::Gzip)));
        assert_eq!(coding("zstd"), Ok(Some(Coding::Zstd)));
        assert_eq!(coding("br"), Err(415));
        assert_eq!(coding("gzip, gzip"), Err(415));
    }
}
