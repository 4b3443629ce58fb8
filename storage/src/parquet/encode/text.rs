//! Users, sources and devices: keys of a dictionary, in runs.

use std::ops::Range;

use parquet::basic::{BoundaryOrder, Encoding};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::chunk::{Chunk, Dictionary};
use super::dictionary::Texts;
use super::hybrid::Hybrid;
use super::{Closed, encode_keys, prefixed};
use crate::run::Text;

/// A column of texts. If it is indexed, its rows ascend and none is null.
pub(super) struct TextColumn {
    pub(super) chunk: Chunk,
    is_optional: bool,
    is_indexed: bool,
    dictionary: Texts,
    /// Key (`None`: null) and number of rows.
    page: Vec<(Option<u32>, usize)>,
    /// The text of the last run, to tell where the next one differs.
    last: Option<Box<str>>,
    /// First text of the page and of the row group, where the column is indexed.
    page_first: Option<Box<str>>,
    first: Option<Box<str>>,
}

impl TextColumn {
    pub(super) fn new(descr: ColumnDescPtr, order: Option<BoundaryOrder>) -> Self {
        Self {
            is_optional: descr.max_def_level() > 0,
            is_indexed: order.is_some(),
            chunk: Chunk::new(descr, Encoding::RLE_DICTIONARY, order),
            dictionary: Texts::default(),
            page: Vec::new(),
            last: None,
            page_first: None,
            first: None,
        }
    }

    /// Length of the dictionary so far.
    pub(super) fn dictionary_bytes(&self) -> usize {
        self.dictionary.plain.len()
    }

    pub(super) fn push(&mut self, text: &Text, rows: Range<usize>) {
        for (text, count) in text.runs(rows) {
            match self.page.last_mut() {
                Some((key, rows))
                    if key.is_some() == text.is_some() && (text.is_none() || self.last.as_deref() == text) =>
                {
                    *rows += count;
                }
                _ => {
                    let key = text.map(|text| self.dictionary.key(text));
                    self.page.push((key, count));
                    if let Some(text) = text
                        && self.last.as_deref() != Some(text)
                    {
                        self.last = Some(text.into());
                    }
                }
            }
            if self.is_indexed && self.page_first.is_none() {
                self.page_first = text.map(Into::into);
            }
        }
    }

    pub(super) fn end_page(&mut self, compressor: &mut Compressor<'_>, body: &mut Vec<u8>) -> Result<(), ParquetError> {
        body.clear();
        if self.is_optional {
            prefixed(body, |body| {
                let mut levels = Hybrid::new(body, 1);
                for (key, count) in &self.page {
                    levels.push(u32::from(key.is_some()), *count);
                }
                levels.finish();
            });
        }
        let rows = self.page.iter().map(|(_, count)| count).sum();
        let present: Vec<(u32, usize)> = self.page.drain(..).filter_map(|(key, count)| Some((key?, count))).collect();
        encode_keys(&present, body);
        let bounds = self.page_first.take().zip(self.last.clone());
        if self.first.is_none() {
            self.first = bounds.as_ref().map(|(first, _)| first.clone());
        }
        let bounds = bounds.map(|(first, last)| (first.as_bytes().to_vec(), last.as_bytes().to_vec()));
        self.chunk.push(compressor, body, rows, bounds)
    }

    pub(super) fn close(self, compressor: &mut Compressor<'_>) -> Closed {
        let dictionary = Dictionary { plain: &self.dictionary.plain, len: self.dictionary.len() };
        let bounds = self.first.zip(self.last).filter(|_| self.is_indexed);
        let statistics = bounds.map(|(first, last)| {
            let text = |text: Box<str>| Some(ByteArray::from(text.as_bytes().to_vec()));
            let bounds = ValueStatistics::new(text(first), text(last), None, Some(0), false);
            Statistics::ByteArray(bounds.with_min_is_exact(true).with_max_is_exact(true))
        });
        self.chunk.close(compressor, Some(dictionary), statistics)
    }
}
