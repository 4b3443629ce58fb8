//! Round trips through a store, against a naive model, and damage at every byte.

use std::sync::Arc;

use futures::{StreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use proptest::prelude::*;

use super::writer::{Shape, write_shaped};
use super::*;
use crate::manifest::{FileMeta, Level, Scope, Tombstone};
use crate::point::{MetricId, Seq, TimeRange};
use crate::run::tests::{
    Identity, Model, assert_projected, columns, identity, raw_points, selection, times, user, users,
};
use crate::selection::{Columns, PointStream, Selection, Users};
use crate::tombstone::Mask;

const TINY: Shape = Shape { page_rows_min: 4, page_rows_max: 8, row_group_rows: 24 };
const PATH: &str = "points/metric=heart_rate/1-9-1.parquet";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn target() -> Target {
    let metric = "heart_rate".to_owned();
    Target { path: PATH.to_owned(), metric, level: Level::Zero, first_seq: Seq(1), last_seq: Seq(9) }
}

pub(super) fn meta(target: &Target, written: &Written) -> FileMeta {
    FileMeta {
        id: 1,
        path: target.path.clone(),
        metric: target.metric.clone(),
        level: target.level,
        rows: written.rows,
        bytes: written.bytes,
        first_seq: target.first_seq,
        last_seq: target.last_seq,
        clean_through: 0,
        user_min: written.user_min,
        user_max: written.user_max,
        time_min: written.time_min,
        time_max: written.time_max,
        accepted_max_ms: written.accepted_max_ms,
    }
}

fn feed(model: &Model, rows: usize) -> Feed {
    Feed::new(stream::iter(model.batches(rows).into_iter().map(Ok)).boxed())
}

async fn stored(model: &Model, rows: usize, shape: Shape) -> (Arc<dyn ObjectStore>, FileMeta) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let target = target();
    let written = write_shaped(store.as_ref(), &target, &mut feed(model, rows), u64::MAX, shape).await;
    let file = meta(&target, &written.unwrap().unwrap());
    (store, file)
}

fn reading(
    store: &Arc<dyn ObjectStore>,
    file: &FileMeta,
    selection: Selection,
    columns: Columns,
    mask: Mask,
) -> PointStream {
    read(Arc::clone(store), Arc::new(file.clone()), Arc::new(Footers::new(1 << 20)), selection, columns, mask)
}

/// What the Parquet crate's own reader says of the file.
async fn metadata_of(store: &Arc<dyn ObjectStore>) -> parquet::file::metadata::ParquetMetaData {
    let bytes = store.get(&Path::from(PATH)).await.unwrap().bytes().await.unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.parse_and_finish(&bytes).unwrap()
}

/// What the Parquet crate's own reader reads.
async fn rows_of_another_reader(store: &Arc<dyn ObjectStore>) -> Vec<arrow::record_batch::RecordBatch> {
    let bytes = store.get(&Path::from(PATH)).await.unwrap().bytes().await.unwrap();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(crate::schema::schema());
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
    builder.build().unwrap().map(|batch| batch.unwrap()).collect()
}

async fn all(stream: PointStream) -> Result<Vec<arrow::record_batch::RecordBatch>> {
    stream.collect::<Vec<_>>().await.into_iter().collect()
}

fn model() -> impl Strategy<Value = Model> {
    prop::collection::vec((0..6_u8, raw_points()), 1..12).prop_map(|requests| {
        let mut model = Model::default();
        for (nth, (number, points)) in (0..).zip(requests) {
            for point in points {
                model.put(identity(user(number), point), (f64::from(point.1), nth, false));
            }
        }
        model
    })
}

fn everything() -> Selection {
    selection(&Users::All, TimeRange::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_file_reads_back_what_the_model_holds(
        model in model(), rows in 1..40_usize, users in users(), times in times(), columns in columns(),
        dead in prop::option::of((0..6_u8, times())),
    ) {
        block_on(async {
            let (store, file) = stored(&model, rows, TINY).await;
            let tombstones: Vec<Tombstone> = dead.into_iter().map(|(number, times)| Tombstone {
                seq: Seq(9),
                version: 1,
                scope: Scope::Range { user: user(number), metric: "heart_rate".to_owned(), times },
                created_ms: 0,
            }).collect();
            let mut expected = model.select(&users, times);
            if let Some((number, times)) = dead {
                expected.0.retain(|(who, time, ..), _| *who != user(number) || !times.contains(*time));
            }
            let selection = selection(&users, times);
            let mask = Mask::of_file(&tombstones, &file);
            let whole = all(reading(&store, &file, selection.clone(), Columns::ALL, mask.clone())).await.unwrap();
            assert_eq!(Model::of(&whole), expected);
            assert_eq!(Model::of(&rows_of_another_reader(&store).await), model);
            let narrow = all(reading(&store, &file, selection, columns, mask)).await.unwrap();
            assert_projected(&narrow, &expected, columns);
        });
    }

    #[test]
    fn a_sound_file_verifies(model in model(), rows in 1..40_usize) {
        block_on(async {
            let (store, file) = stored(&model, rows, TINY).await;
            assert_eq!(verify(store, &file).await.unwrap(), Vec::<String>::new());
            let times = model.0.keys().map(|(_, time, ..)| *time);
            assert_eq!((Some(file.time_min), Some(file.time_max)), (times.clone().min(), times.max()));
            assert_eq!(file.rows, model.0.len() as u64);
        });
    }

    #[test]
    fn a_feed_is_split_between_users(model in model(), rows in 1..40_usize) {
        block_on(async {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let mut feed = feed(&model, rows);
            let mut merged = Model::default();
            let mut last_user = None;
            for nth in 0.. {
                let target = Target { path: format!("{nth}.parquet"), ..target() };
                let Some(written) = write(store.as_ref(), &target, &mut feed, 1).await.unwrap() else { break };
                assert!(last_user < Some(written.user_min), "files share no user");
                last_user = Some(written.user_max);
                let file = meta(&target, &written);
                let batches = all(reading(&store, &file, everything(), Columns::ALL, Mask::default())).await.unwrap();
                merged.0.extend(Model::of(&batches).0);
            }
            assert_eq!(merged, model);
        });
    }
}

fn point(number: u8, time: i64) -> (Identity, (f64, i64, bool)) {
    ((user(number), time, "watch".to_owned(), Some("d".to_owned())), (60.0, 5, false))
}

#[test]
fn damage_at_any_byte_is_found_and_never_panics() {
    block_on(async {
        let model = Model((0..60).map(|nth| point(u8::try_from(nth / 20).unwrap(), nth)).collect());
        let (store, file) = stored(&model, 20, TINY).await;
        let path = Path::from(PATH);
        let sound = store.get(&path).await.unwrap().bytes().await.unwrap();
        let footer = Footers::new(1 << 20).get(store.as_ref(), &file).await.unwrap();
        let rows_end = footer.row_groups.iter().map(|group| usize::try_from(group.range.end).unwrap()).max().unwrap();
        let hers = model.select(&Users::One(user(1)), TimeRange::ALL);
        std::panic::set_hook(Box::new(|_| {}));
        for at in 0..sound.len() {
            let mut damaged = sound.to_vec();
            damaged[at] ^= 0x41;
            store.put(&path, PutPayload::from(damaged)).await.unwrap();
            let one = selection(&Users::One(user(1)), TimeRange::ALL);
            let read = all(reading(&store, &file, one, Columns::ALL, Mask::default())).await;
            // So is each page: what a person is shown is theirs and right, or nothing is shown.
            if let Ok(batches) = read
                && at < rows_end
            {
                assert_eq!(Model::of(&batches), hers, "byte {at} of {}", sound.len());
            }
            // The rows are under a checksum: what a reader of everything gets is right, or an error.
            if let Ok(batches) = all(reading(&store, &file, everything(), Columns::ALL, Mask::default())).await {
                assert_eq!(Model::of(&batches), model, "byte {at} of {}", sound.len());
            }
        }
        drop(std::panic::take_hook());
        for len in 0..sound.len() {
            store.put(&path, PutPayload::from(sound.slice(..len))).await.unwrap();
            assert!(!verify(Arc::clone(&store), &file).await.unwrap().is_empty(), "cut to {len}");
        }
    });
}

#[test]
fn a_flipped_bit_in_a_page_is_named_with_its_row_group() {
    block_on(async {
        let model = Model((0..60).map(|nth| point(1, nth)).collect());
        let (store, file) = stored(&model, 20, TINY).await;
        let mut bytes = store.get(&Path::from(PATH)).await.unwrap().bytes().await.unwrap().to_vec();
        bytes[30] ^= 1;
        store.put(&Path::from(PATH), PutPayload::from(bytes)).await.unwrap();
        let findings = verify(store, &file).await.unwrap();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("is damaged at byte 4: row group checksum"), "{findings:?}");
    });
}

#[test]
fn what_the_manifest_claims_is_checked() {
    block_on(async {
        let model = Model((0..60).map(|nth| point(1, nth)).collect());
        let (store, file) = stored(&model, 20, TINY).await;
        let claims: [fn(&mut FileMeta); 6] = [
            |file| file.rows += 1,
            |file| file.user_max = user(2),
            |file| file.time_min -= 1,
            |file| file.accepted_max_ms += 1,
            |file| file.metric = "steps".to_owned(),
            |file| file.last_seq = Seq(8),
        ];
        for (nth, claim) in claims.into_iter().enumerate() {
            let mut file = file.clone();
            claim(&mut file);
            assert_eq!(verify(Arc::clone(&store), &file).await.unwrap().len(), 1, "claim {nth}");
        }
    });
}

#[test]
fn unsorted_rows_are_refused_and_leave_no_object() {
    block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let late = Model([point(1, 5)].into()).batches(10);
        let early = Model([point(1, 4)].into()).batches(10);
        let mut feed = Feed::new(stream::iter(late.into_iter().chain(early).map(Ok)).boxed());
        let written = write(store.as_ref(), &target(), &mut feed, u64::MAX).await;
        assert!(matches!(written, Err(Error::Batch { what: "a run is not sorted" })));
        assert!(store.head(&Path::from(PATH)).await.is_err());
    });
}

#[test]
fn a_file_of_several_parts_reads_back() {
    block_on(async {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        let noisy = (0..1_600_000_i64).map(|nth| {
            let (mut identity, _) = point(1, nth * 1_000_000);
            identity.3 = None;
            #[expect(clippy::cast_precision_loss, reason = "any value does")]
            (identity, (random() as f64, 5, false))
        });
        let model = Model(noisy.collect());
        let (store, file) = stored(&model, 60_000, Shape::LEVEL_ONE).await;
        assert!(file.bytes > 8 << 20, "more than one part: {}", file.bytes);
        let batches = all(reading(&store, &file, everything(), Columns::ALL, Mask::default())).await.unwrap();
        assert_eq!(batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum::<usize>(), 1_600_000);
        let times = TimeRange { start: 700_000 * 1_000_000, end: 700_010 * 1_000_000 };
        let some = all(reading(&store, &file, selection(&Users::All, times), Columns::ALL, Mask::default())).await;
        assert_eq!(Model::of(&some.unwrap()), model.select(&Users::All, times));
    });
}

#[test]
fn pages_hold_the_same_rows_in_every_column() {
    block_on(async {
        let model = Model((0..30_000_u32).map(|nth| point(u8::try_from(nth / 9_000).unwrap(), nth.into())).collect());
        let (store, file) = stored(&model, 7_777, Shape::LEVEL_ONE).await;
        let footers = Footers::new(1 << 20);
        let footer = footers.get(store.as_ref(), &file).await.unwrap();
        for columns in metadata_of(&store).await.offset_index().unwrap() {
            let rows = |nth: usize| -> Vec<i64> {
                columns[nth].page_locations().iter().map(|page| page.first_row_index).collect()
            };
            assert_eq!(rows(0), [0, 9_000, 18_000, 27_000]);
            assert!(
                (1..columns.len()).all(|nth| rows(nth) == rows(0)),
                "{:?}",
                (0..columns.len()).map(rows).collect::<Vec<_>>()
            );
        }
        assert_eq!(footers.bytes(), footer.bytes());
    });
}

#[test]
fn footers_are_forgotten_when_they_do_not_fit() {
    block_on(async {
        let model = Model((0..60).map(|nth| point(1, nth)).collect());
        let (store, file) = stored(&model, 20, TINY).await;
        let one = Footers::new(usize::MAX).get(store.as_ref(), &file).await.unwrap().bytes();
        let copy = FileMeta { path: "copy.parquet".to_owned(), ..file.clone() };
        store.copy(&Path::from(PATH), &Path::from("copy.parquet")).await.unwrap();
        let footers = Footers::new(one + one / 2);
        footers.get(store.as_ref(), &file).await.unwrap();
        footers.get(store.as_ref(), &copy).await.unwrap();
        assert_eq!(footers.bytes(), one, "the older one went");
        store.delete(&Path::from("copy.parquet")).await.unwrap();
        footers.get(store.as_ref(), &copy).await.unwrap();
        footers.forget(&copy.path);
        assert_eq!(footers.bytes(), 0);
        assert!(footers.get(store.as_ref(), &copy).await.is_err());
    });
}

#[test]
fn an_empty_feed_makes_no_file() {
    block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut feed = Feed::new(stream::empty().boxed());
        assert_eq!(write(store.as_ref(), &target(), &mut feed, u64::MAX).await.unwrap(), None);
        assert!(store.head(&Path::from(PATH)).await.is_err());
        assert_eq!(everything().metric, MetricId(0));
    });
}

#[test]
fn the_page_of_formats_says_what_a_file_holds() {
    block_on(async {
        let page = include_str!("../../../docs/src/storage-format.md");
        let (_, page) = page.split_once("## Parquet").unwrap();
        let cells = |head: &str| -> Vec<&str> {
            let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2);
            rows.map_while(|row| row.strip_prefix("| `")?.split_once('`')).map(|(cell, _)| cell).collect()
        };
        let schema = crate::schema::schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(cells("| column "), columns);
        let model = Model((0..60).map(|nth| point(1, nth)).collect());
        let (store, _) = stored(&model, 20, TINY).await;
        let metadata = metadata_of(&store).await;
        let keys: Vec<&str> =
            metadata.file_metadata().key_value_metadata().unwrap().iter().map(|pair| pair.key.as_str()).collect();
        assert_eq!(cells("| key "), keys);
        let Shape { page_rows_min, page_rows_max, row_group_rows } = Shape::LEVEL_ONE;
        assert_eq!((page_rows_min, page_rows_max, row_group_rows), (4_096, 16_384, 114_688));
        assert_eq!(Shape::LEVEL_ZERO.page_rows_min, 1_024);
        assert!(
            page.contains("from 4,096 rows on (1,024 at level 0) ends where a user ends, at 16,384 rows in any case")
        );
        assert!(page.contains("A row group ends with the page that brings it to 114,688 rows or more"));
        assert!(page.contains("`avycenna.schema_version` | 1:") && crate::schema::SCHEMA_VERSION == 1);
    });
}

#[test]
fn a_page_ends_where_a_user_does_once_it_has_enough() {
    block_on(async {
        // 6 rows of one, 3 of another, 22 of a third.
        let counts = [(0, 6), (1, 3), (2, 22)];
        let points = counts.iter().flat_map(|(number, count)| (0..*count).map(move |nth| point(*number, nth)));
        let model = Model(points.collect());
        let (store, file) = stored(&model, 5, TINY).await;
        let footer = Footers::new(1 << 20).get(store.as_ref(), &file).await.unwrap();
        let rows: Vec<usize> = footer.pages.iter().map(|page| page.rows.len()).collect();
        assert_eq!(rows, [6, 8, 8, 8, 1], "the second has too few rows for a page of its own");
        assert_eq!(footer.row_groups.len(), 2, "a row group ends with the page that brings it to 24 rows or more");
    });
}

#[test]
fn a_device_id_of_its_own_for_every_point_is_read_back() {
    block_on(async {
        // Longer than any page may be, if they were all in one dictionary.
        let id = |nth: i64| format!("{nth:0>512}");
        let model =
            Model((0..70_000).map(|nth| ((user(1), nth, "w".to_owned(), Some(id(nth))), (1.0, 0, false))).collect());
        let (store, file) = stored(&model, 65_536, Shape::LEVEL_ONE).await;
        let read = all(reading(&store, &file, everything(), Columns::ALL, Mask::default())).await.unwrap();
        let rows: usize = read.iter().map(arrow::record_batch::RecordBatch::num_rows).sum();
        assert_eq!(rows, 70_000);
        assert_eq!(verify(store, &file).await.unwrap(), Vec::<String>::new());
    });
}
