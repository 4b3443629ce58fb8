//! One page of one column: inflated and decoded into what an array is made of.
//!
//! This reads what [`super::writer`] writes, and no more of Parquet than that: version 1 pages, zstd or nothing, the
//! encodings of [`header::Encoding`], texts always by dictionary. A month of one person is one or two pages a column,
//! so what a general reader sets up for each column would cost more than the decoding; here a page costs one context
//! of zstd for each thread, once, and one allocation.
//!
//! Nothing here panics, and nothing is allocated beyond what a sound page can hold: `None` is damage.

mod bits;
mod header;
mod names;

pub(super) use names::Names;

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::Int32Type;
use zstd::bulk::Decompressor;

use self::header::{Encoding, Header, Kind};

/// Longest content of a page, inflated. The writer refuses what is longer, and ends a row group long before.
pub(super) const CONTENT_BYTES_MAX: usize = 32 << 20;
/// What a thread keeps for inflating between pages; more is given back.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A page as it lies in the file, header first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// Whether its content is compressed by zstd.
    pub(super) is_compressed: bool,
}

/// What inflates a thread's pages: a context is 150 kB, and making one costs more than a page.
struct Inflater {
    context: Decompressor<'static>,
    content: Vec<u8>,
}

thread_local! {
    static INFLATER: RefCell<Option<Inflater>> = const { RefCell::new(None) };
}

impl Page<'_> {
    /// Hands the inflated content to `then`, if the page is of that kind.
    fn open<T>(self, kind: Kind, then: impl FnOnce(&Header, &[u8]) -> Option<T>) -> Option<T> {
        let (header, stored) = header::read(self.bytes)?;
        if header.kind != kind || header.content_bytes > CONTENT_BYTES_MAX {
            return None;
        }
        if !self.is_compressed {
            return then(&header, stored);
        }
        INFLATER.with_borrow_mut(|inflater| {
            let inflater = match inflater {
                Some(inflater) => inflater,
                None => inflater.insert(Inflater { context: Decompressor::new().ok()?, content: Vec::new() }),
            };
            if inflater.content.len() < header.content_bytes {
                inflater.content.resize(header.content_bytes, 0);
            }
            let content = inflater.content.get_mut(..header.content_bytes)?;
            let inflated = inflater.context.decompress_to_buffer(stored, content).ok()?;
            let answer = (inflated == header.content_bytes).then(|| then(&header, content)).flatten();
            if inflater.content.len() > KEPT_BYTES_MAX {
                inflater.content = Vec::new();
            }
            answer
        })
    }

    /// Integers of a column that has no nulls.
    pub(super) fn integers(self, rows: usize, dictionary: Option<&[i64]>) -> Option<Vec<i64>> {
        self.open(Kind::Data, |header, content| match header.encoding {
            _ if header.values != rows => None,
            Encoding::Delta => bits::delta(content, rows),
            encoding => numbers(encoding, content, rows, dictionary, i64::from_le_bytes),
        })
    }

    /// Floats of a column that has no nulls.
    pub(super) fn floats(self, rows: usize, dictionary: Option<&[f64]>) -> Option<Vec<f64>> {
        self.open(Kind::Data, |header, content| {
            (header.values == rows).then(|| numbers(header.encoding, content, rows, dictionary, f64::from_le_bytes))?
        })
    }

    /// Texts; with nulls if the column is `optional`.
    pub(super) fn texts(self, rows: usize, names: &Names, is_optional: bool) -> Option<ArrayRef> {
        self.open(Kind::Data, |header, content| {
            if header.values != rows || header.encoding != Encoding::Dictionary {
                return None;
            }
            let (nulls, content) = if is_optional { levels(content, rows)? } else { (None, content) };
            let mut keys = Vec::new();
            let present = nulls.as_ref().map_or(rows, |nulls| rows - nulls.null_count());
            dictionary_keys(content, present, &mut keys)?;
            let names = names.used(&mut keys)?;
            if let Some(nulls) = &nulls {
                let mut present = keys.into_iter();
                // What a null's key says means nothing, but it must be one.
                keys = nulls.iter().map(|is_there| if is_there { present.next() } else { None }.unwrap_or(0)).collect();
            }
            let column = DictionaryArray::<Int32Type>::try_new(Int32Array::new(keys.into(), nulls), names);
            Some(Arc::new(column.ok()?) as ArrayRef)
        })
    }

    /// Flags of a column that has no nulls.
    pub(super) fn flags(self, rows: usize) -> Option<BooleanBuffer> {
        self.open(Kind::Data, |header, content| {
            if header.values != rows || header.encoding != Encoding::Rle {
                return None;
            }
            let (runs, _) = split_length(content)?;
            let mut flags = Vec::new();
            bits::keys(runs, 1, rows, &mut flags)?;
            Some(BooleanBuffer::collect_bool(rows, |row| flags.get(row).is_some_and(|flag| *flag != 0)))
        })
    }

    /// A dictionary of integers.
    pub(super) fn integer_dictionary(self) -> Option<Vec<i64>> {
        self.number_dictionary(i64::from_le_bytes)
    }

    /// A dictionary of floats.
    pub(super) fn float_dictionary(self) -> Option<Vec<f64>> {
        self.number_dictionary(f64::from_le_bytes)
    }

    fn number_dictionary<T: Copy + Default>(self, of: impl Fn([u8; 8]) -> T) -> Option<Vec<T>> {
        self.open(Kind::Dictionary, |header, content| plain(content, header.values, of))
    }

    /// A dictionary of texts.
    pub(super) fn text_dictionary(self) -> Option<Names> {
        self.open(Kind::Dictionary, |header, content| Names::read(content, header.values))
    }
}

/// What stands behind a length of four bytes, and what follows that.
fn split_length(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = content.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Definition levels of an optional column: which rows are not null (`None` if all are), and what follows.
fn levels(content: &[u8], rows: usize) -> Option<(Option<NullBuffer>, &[u8])> {
    let (runs, rest) = split_length(content)?;
    let mut levels = Vec::new();
    bits::keys(runs, 1, rows, &mut levels)?;
    if levels.iter().all(|level| *level == 1) {
        return Some((None, rest));
    }
    let is_there = BooleanBuffer::collect_bool(rows, |row| levels.get(row).is_some_and(|level| *level == 1));
    Some((Some(NullBuffer::new(is_there)), rest))
}

/// Keys into a dictionary: their width in one byte, then runs and packed bits.
fn dictionary_keys(content: &[u8], count: usize, keys: &mut Vec<i32>) -> Option<()> {
    if count == 0 {
        keys.clear();
        return Some(());
    }
    let (width, runs) = content.split_first()?;
    bits::keys(runs, usize::from(*width), count, keys)
}

fn numbers<T: Copy + Default>(
    encoding: Encoding,
    content: &[u8],
    rows: usize,
    dictionary: Option<&[T]>,
    of: impl Fn([u8; 8]) -> T,
) -> Option<Vec<T>> {
    match encoding {
        Encoding::Plain => plain(content, rows, of),
        Encoding::ByteStreamSplit => byte_stream_split(content, rows, of),
        Encoding::Dictionary => {
            let dictionary = dictionary?;
            let mut keys = Vec::new();
            dictionary_keys(content, rows, &mut keys)?;
            let greatest = usize::try_from(keys.iter().copied().fold(0, i32::max)).ok()?;
            // Looked at once, so that the loop has no way out.
            let number = |key: &i32| dictionary.get(usize::try_from(*key).unwrap_or(0)).copied().unwrap_or_default();
            (greatest < dictionary.len()).then(|| keys.iter().map(number).collect())
        }
        Encoding::Delta | Encoding::Rle => None,
    }
}

fn plain<T>(content: &[u8], count: usize, of: impl Fn([u8; 8]) -> T) -> Option<Vec<T>> {
    let (numbers, _) = content.get(..count.checked_mul(8)?)?.as_chunks();
    Some(numbers.iter().map(|number| of(*number)).collect())
}

#[expect(clippy::many_single_char_names, reason = "eight streams, one for each byte")]
fn byte_stream_split<T>(content: &[u8], rows: usize, of: impl Fn([u8; 8]) -> T) -> Option<Vec<T>> {
    if rows == 0 || content.len() != rows.checked_mul(8)? {
        return None;
    }
    let mut streams = content.chunks_exact(rows);
    let mut next = || streams.next();
    let (a, b, c, d) = (next()?, next()?, next()?, next()?);
    let (e, f, g, h) = (next()?, next()?, next()?, next()?);
    let low = a.iter().zip(b).zip(c).zip(d);
    let high = e.iter().zip(f).zip(g).zip(h);
    let numbers = low.zip(high).map(|((((a, b), c), d), (((e, f), g), h))| of([*a, *b, *c, *d, *e, *f, *g, *h]));
    Some(numbers.collect())
}
