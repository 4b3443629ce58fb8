//! Values: keys of a dictionary where few are distinct, else their bytes split into eight streams.

use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::chunk::{Chunk, Dictionary};
use super::dictionary::Numbers;
use super::hybrid::{Hybrid, width_of};
use super::{Closed, Values};

/// The column of values.
pub(super) struct ValueColumn {
    pub(super) chunk: Chunk,
    dictionary: Option<Numbers>,
    /// Bits of the page's values.
    page: Vec<u64>,
    keys: Vec<u32>,
    bounds: (f64, f64),
}

impl ValueColumn {
    pub(super) fn new(descr: ColumnDescPtr, values: Values) -> Self {
        let (encoding, dictionary) = match values {
            Values::Few => (Encoding::RLE_DICTIONARY, Some(Numbers::default())),
            Values::Many => (Encoding::BYTE_STREAM_SPLIT, None),
        };
        Self {
            chunk: Chunk::new(descr, encoding, None),
            dictionary,
            page: Vec::new(),
            keys: Vec::new(),
            bounds: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }

    /// Length of the dictionary so far.
    pub(super) fn dictionary_bytes(&self) -> usize {
        self.dictionary.as_ref().map_or(0, Numbers::bytes)
    }

    pub(super) fn push(&mut self, values: &[f64]) {
        let bounds = self.bounds;
        self.bounds = values.iter().fold(bounds, |(least, greatest), value| (least.min(*value), greatest.max(*value)));
        match &mut self.dictionary {
            Some(dictionary) => self.keys.extend(values.iter().map(|value| dictionary.key(value.to_bits()))),
            None => self.page.extend(values.iter().map(|value| value.to_bits())),
        }
    }

    pub(super) fn end_page(&mut self, compressor: &mut Compressor<'_>, body: &mut Vec<u8>) -> Result<(), ParquetError> {
        body.clear();
        let rows = self.keys.len().max(self.page.len());
        if self.dictionary.is_some() {
            let width = aligned(width_of(self.keys.iter().copied().max().unwrap_or_default()));
            body.push(u8::try_from(width).unwrap_or_default());
            let mut hybrid = Hybrid::new(body, width);
            hybrid.extend(&self.keys);
            hybrid.finish();
        } else {
            for byte in 0..8 {
                body.extend(self.page.iter().filter_map(|bits| bits.to_le_bytes().get(byte).copied()));
            }
        }
        self.keys.clear();
        self.page.clear();
        self.chunk.push(compressor, body, rows, None)
    }

    pub(super) fn close(self, compressor: &mut Compressor<'_>) -> Closed {
        let (least, greatest) = self.bounds;
        // A zero as a bound stands for both zeros.
        let least = if least == 0.0 { -0.0 } else { least };
        let greatest = if greatest == 0.0 { 0.0 } else { greatest };
        let statistics = Statistics::Double(ValueStatistics::new(Some(least), Some(greatest), None, Some(0), false));
        let plain = self.dictionary.as_ref().map(Numbers::plain).unwrap_or_default();
        let dictionary = self.dictionary.map(|numbers| Dictionary { plain: &plain, len: numbers.len() });
        self.chunk.close(compressor, dictionary, Some(statistics))
    }
}

/// Keys of whole bytes: zstd sees symbols then, and codes them in as many bits as they carry.
fn aligned(width: u32) -> u32 {
    width.next_multiple_of(8)
}
