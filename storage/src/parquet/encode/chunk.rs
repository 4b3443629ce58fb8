//! One column of one row group: its pages as they come, its dictionary in front of them at the end.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::super::page::CONTENT_BYTES_MAX;

/// A dictionary as its page holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dictionary<'a> {
    /// Plain-encoded values.
    pub(super) plain: &'a [u8],
    /// Number of values.
    pub(super) len: u32,
}

/// A page's place among the pages of its chunk.
#[derive(Debug)]
struct Place {
    offset: usize,
    bytes: usize,
    rows: usize,
}

/// The pages of one column so far.
pub(super) struct Chunk {
    descr: ColumnDescPtr,
    encoding: Encoding,
    sink: TrackedWrite<Vec<u8>>,
    places: Vec<Place>,
    uncompressed_bytes: usize,
    rows: usize,
    /// How the bounds of the pages follow each other, and those bounds, if the column is indexed.
    index: Option<(BoundaryOrder, ColumnIndexBuilder)>,
}

impl Chunk {
    /// An empty chunk; with an order, every page comes with its bounds.
    pub(super) fn new(descr: ColumnDescPtr, encoding: Encoding, order: Option<BoundaryOrder>) -> Self {
        let index = order.map(|order| (order, ColumnIndexBuilder::new(descr.physical_type())));
        Self {
            descr,
            encoding,
            sink: TrackedWrite::new(Vec::new()),
            places: Vec::new(),
            uncompressed_bytes: 0,
            rows: 0,
            index,
        }
    }

    /// Bytes of the pages so far.
    pub(super) fn bytes(&self) -> usize {
        self.sink.bytes_written()
    }

    /// Appends a page of `rows` rows.
    pub(super) fn push(
        &mut self,
        compressor: &mut Compressor<'_>,
        body: &[u8],
        rows: usize,
        bounds: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), ParquetError> {
        let page = Page::DataPage {
            buf: squeezed(compressor, body)?,
            num_values: count(rows)?,
            encoding: self.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, body.len()))?;
        self.uncompressed_bytes += spec.uncompressed_size;
        self.rows += rows;
        let offset = usize::try_from(spec.offset).map_err(|_| beyond())?;
        self.places.push(Place { offset, bytes: spec.compressed_size, rows });
        if let (Some((_, index)), Some((least, greatest))) = (&mut self.index, bounds) {
            index.append(false, least, greatest, 0);
        }
        Ok(())
    }

    /// The chunk's bytes and what the footer says of it.
    pub(super) fn close(
        self,
        compressor: &mut Compressor<'_>,
        dictionary: Option<Dictionary<'_>>,
        statistics: Option<Statistics>,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let mut front = TrackedWrite::new(Vec::new());
        let mut uncompressed_bytes = self.uncompressed_bytes;
        if let Some(Dictionary { plain, len }) = dictionary {
            let buf = squeezed(compressor, plain)?;
            let page = Page::DictionaryPage { buf, num_values: len, encoding: Encoding::PLAIN, is_sorted: false };
            let spec = SerializedPageWriter::new(&mut front).write_page(CompressedPage::new(page, plain.len()))?;
            uncompressed_bytes += spec.uncompressed_size;
        }
        let front_bytes = front.bytes_written();
        let mut bytes = front.into_inner()?;
        bytes.extend_from_slice(&self.sink.into_inner()?);

        let mut offsets = OffsetIndexBuilder::new();
        for place in &self.places {
            offsets.append_offset_and_size(signed(place.offset + front_bytes)?, count(place.bytes)?.cast_signed());
            offsets.append_row_count(signed(place.rows)?);
        }
        let index = self.index.map(|(order, mut index)| {
            index.set_boundary_order(order);
            index.build()
        });
        let mut encodings = vec![Encoding::RLE, self.encoding];
        let mut pages = vec![PageEncodingStats {
            page_type: PageType::DATA_PAGE,
            encoding: self.encoding,
            count: count(self.places.len())?.cast_signed(),
        }];
        if dictionary.is_some() {
            encodings.push(Encoding::PLAIN);
            pages.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 });
        }
        encodings.dedup();
        let mut metadata = ColumnChunkMetaData::builder(self.descr)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(encodings)
            .set_page_encoding_stats(pages)
            .set_num_values(signed(self.rows)?)
            .set_total_compressed_size(signed(bytes.len())?)
            .set_total_uncompressed_size(signed(uncompressed_bytes)?)
            .set_data_page_offset(signed(front_bytes)?)
            .set_dictionary_page_offset(dictionary.map(|_| 0));
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let result = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: index.transpose()?,
            offset_index: Some(offsets.build()),
        };
        Ok((bytes.into(), result))
    }
}

/// A page's content as it is stored. What no reader of ours would take is not written.
fn squeezed(compressor: &mut Compressor<'_>, content: &[u8]) -> Result<Bytes, ParquetError> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(beyond());
    }
    let squeezed = compressor.compress(content).map_err(|error| ParquetError::External(Box::new(error)))?;
    Ok(squeezed.into())
}

fn beyond() -> ParquetError {
    ParquetError::General("a column chunk is too large".to_owned())
}

fn signed(value: usize) -> Result<i64, ParquetError> {
    i64::try_from(value).map_err(|_| beyond())
}

fn count(value: usize) -> Result<u32, ParquetError> {
    i32::try_from(value).map(i32::cast_unsigned).map_err(|_| beyond())
}
