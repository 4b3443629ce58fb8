//! Streams, wherever their pieces are cut, against each line alone; and what no stream may do.

mod hostile;

use std::sync::Arc;

use ::arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int64Array, LargeStringArray, StringArray, StringViewArray,
    TimestampMillisecondArray, TimestampSecondArray,
};
use ::arrow::datatypes::Int8Type;
use ::arrow::ipc::CompressionType;
use ::arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use ::arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use storage::MetricId;

use super::*;
use crate::query::metrics::Entry;
use crate::time;

const NOW: &str = "2026-06-15T12:00:00Z";

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn me() -> UserId {
    user("usr_00000001")
}

struct Bench {
    catalogue: Catalogue,
    ids: Metrics,
}

impl Bench {
    fn new() -> Self {
        let catalogue = Catalogue::builtin();
        let entry = |place: u16| {
            let metric = catalogue.at(place).unwrap();
            Entry { id: MetricId(place), key: (*metric.key).into(), unit: (*metric.unit).into(), is_count: false }
        };
        let ids = Metrics::new((0..u16::try_from(catalogue.len()).unwrap()).map(entry).collect());
        Self { catalogue, ids }
    }

    /// Everything that a stream comes to, its body in these pieces.
    fn run<'a>(
        &self,
        format: Format,
        on_error: OnError,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        may: impl Fn(&UserId) -> bool + Copy,
    ) -> Outcome {
        let metrics = StreamMetrics { catalogue: &self.catalogue, ids: &self.ids };
        let now_us = time::parse(NOW).unwrap();
        let (mut decoder, mut chunk) = (Decoder::new(format, me()), Chunk::new());
        let mut outcome = Outcome::default();
        let mut settle = |chunk: &mut Chunk| {
            let settled = chunk.settle(&metrics, on_error, may).unwrap();
            outcome.take(&settled)
        };
        for piece in pieces {
            decoder.push(piece);
            while decoder.is_full() {
                if decoder.fill(&metrics, now_us, false, &mut chunk) && settle(&mut chunk) {
                    return outcome;
                }
            }
        }
        while decoder.fill(&metrics, now_us, true, &mut chunk) {
            if settle(&mut chunk) {
                return outcome;
            }
        }
        outcome
    }

    fn lines(&self, on_error: OnError, text: &str) -> Outcome {
        self.run(Format::Lines, on_error, [text.as_bytes()], |_| true)
    }

    fn place(&self, metric: &str) -> u16 {
        self.catalogue.place(metric).unwrap()
    }
}

/// What is stored, and what not.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Person, metric, time, value, source, device.
    points: Vec<(UserId, u16, i64, f64, String, Option<String>)>,
    faults: Vec<String>,
    through: u64,
    is_stopped: bool,
}

impl Outcome {
    fn take(&mut self, settled: &Settled) -> bool {
        for batch in &settled.batches {
            for part in batch.parts() {
                for row in part.rows() {
                    let (source, device) = batch.origins().get(usize::from(batch.origin()[row])).unwrap();
                    self.points.push((
                        batch.user(),
                        part.metric.0,
                        batch.recorded_at()[row],
                        batch.value()[row],
                        source.to_owned(),
                        device.map(str::to_owned),
                    ));
                }
            }
        }
        for fault in &settled.faults {
            for each in &fault.faults {
                let way: Vec<_> = each
                    .loc
                    .iter()
                    .map(|step| match step {
                        Loc::Key(key) => (*key).to_owned(),
                        Loc::Index(index) => index.to_string(),
                    })
                    .collect();
                self.faults.push(format!("{}: {}", way.join("/"), each.msg));
            }
        }
        self.through = settled.through;
        self.is_stopped = settled.is_stopped;
        settled.is_stopped
    }

    fn values(&self) -> Vec<f64> {
        self.points.iter().map(|point| point.3).collect()
    }
}

fn line(value: f64, minute: u32, more: &str) -> String {
    format!(
        r#"{{"metric":"heart_rate","value":{value},"unit":"bpm","recorded_at":"2026-06-01T08:{minute:02}:00Z","source":"w"{more}}}"#
    )
}

#[test]
fn lines_become_points_wherever_the_pieces_are_cut() {
    let bench = Bench::new();
    let text = format!(
        "{}\n\n{}\r\n   \n{}",
        line(61.0, 0, ""),
        line(62.0, 1, r#","source_device_id":"d""#),
        line(63.5, 2, r#","user_id":"usr_00000002""#)
    );
    let whole = bench.lines(OnError::Stop, &text);
    assert_eq!(whole.values(), [61.0, 62.0, 63.5]);
    assert_eq!((whole.through, whole.is_stopped), (5, false));
    assert_eq!(whole.points[1].5.as_deref(), Some("d"));
    assert_eq!((whole.points[0].0, whole.points[2].0), (me(), user("usr_00000002")));
    for cut in [1, 7, 100] {
        let cut = bench.run(Format::Lines, OnError::Stop, text.as_bytes().chunks(cut), |_| true);
        assert_eq!(cut, whole);
    }
}

#[test]
fn a_fault_stops_the_stream_behind_what_came_before_it() {
    let bench = Bench::new();
    let text = [line(61.0, 0, ""), line(900.0, 1, ""), line(62.0, 2, "")].join("\n");
    let outcome = bench.lines(OnError::Stop, &text);
    assert_eq!(outcome.values(), [61.0]);
    assert_eq!((outcome.through, outcome.is_stopped), (1, true));
    assert_eq!(outcome.faults, ["body/2/value: must be between 15 and 350 bpm"]);
}

#[test]
fn a_skipped_fault_leaves_out_its_line_alone() {
    let bench = Bench::new();
    let text = [
        line(61.0, 0, ""),
        "{\"metric\":".to_owned(),
        line(62.0, 1, ""),
        "[1]".to_owned(),
        line(63.0, 2, r#","user_id":"nobody""#),
        line(64.0, 3, r#","user_id":7"#),
        format!("{},{}", line(1.0, 4, ""), line(2.0, 5, "")),
        line(65.0, 6, ""),
    ]
    .join("\n");
    let outcome = bench.lines(OnError::Skip, &text);
    assert_eq!(outcome.values(), [61.0, 62.0, 65.0]);
    assert_eq!((outcome.through, outcome.is_stopped), (8, false));
    assert_eq!(
        outcome.faults,
        [
            "body/2/10: malformed JSON: the body ends too early",
            "body/4: must be an object",
            "body/5/user_id: must be the id of a person, such as usr_7jRtHvBk",
            "body/6/user_id: must be a string",
            &format!("body/7/{}: malformed JSON: nothing may follow the value", line(1.0, 4, "").len()),
        ]
    );
}

#[test]
fn a_newline_inside_a_string_is_the_end_of_a_line_and_never_part_of_a_point() {
    let bench = Bench::new();
    let text = format!("{}\n{}", line(61.0, 0, r#","x":"a"#), r#"b"}"#).replace("\"a}", "\"a");
    let outcome = bench.lines(OnError::Skip, &text);
    assert_eq!(outcome.values(), [0.0; 0]);
    assert_eq!(outcome.faults.len(), 2);
    // As many elements as lines, and still not a point a line.
    let text = format!("{{\"a\":[1\n2]}}\n{0},{0}\n{0}", line(61.0, 0, ""));
    let outcome = bench.lines(OnError::Skip, &text);
    assert_eq!(outcome.values(), [61.0]);
    assert_eq!(outcome.faults.len(), 3);
}

#[test]
fn people_without_a_grant_are_faults_of_their_lines() {
    let bench = Bench::new();
    let other = |name: &str| format!(r#","user_id":"{name}""#);
    let text = [
        line(61.0, 0, &other("usr_00000002")),
        line(62.0, 1, &other("usr_00000003")),
        line(63.0, 2, ""),
        line(64.0, 3, &other("usr_00000003")),
        line(65.0, 4, &other("usr_00000002")),
    ]
    .join("\n");
    let may = |person: &UserId| *person != user("usr_00000003");
    let skipped = bench.run(Format::Lines, OnError::Skip, [text.as_bytes()], may);
    assert_eq!(skipped.values(), [63.0, 61.0, 65.0], "by person, the sender first");
    assert_eq!(
        skipped.faults,
        [2, 4].map(|line| format!("body/{line}/user_id: no active grant lets you write for this person"))
    );
    let stopped = bench.run(Format::Lines, OnError::Stop, [text.as_bytes()], may);
    assert_eq!((stopped.values(), stopped.through, stopped.faults.len()), (vec![61.0], 1, 1));
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let bench = Bench::new();
    let long = "x".repeat(40 * LINE_BYTES_MAX);
    let text = format!("{}\n{long}\n{}\n", line(61.0, 0, ""), line(62.0, 1, ""));
    let mut lines = Lines::default();
    for piece in text.as_bytes().chunks(1_000) {
        lines.push(piece);
        // As whoever reads a body does: a chunk is asked for where there is one.
        if lines.is_full() {
            lines.fill(&bench.catalogue, i64::MAX / 2, false, &mut Chunk::new());
        }
        // Behind a whole line there may be a chunk of it, else no more than a line.
        assert!(lines.held() <= CHUNK_BYTES_MAX + 1_000, "{} bytes", lines.held());
    }
    let outcome = bench.run(Format::Lines, OnError::Skip, text.as_bytes().chunks(1_000), |_| true);
    assert_eq!(outcome.values(), [61.0, 62.0]);
    assert_eq!(outcome.faults, ["body/2: must have at most 65536 bytes"]);
}

#[test]
fn chunks_are_bounded_and_keep_the_order_of_lines() {
    let bench = Bench::new();
    let lines: Vec<_> = (0..20_000).map(|n| line(f64::from(60 + n % 40), n % 60, "")).collect();
    let outcome = bench.lines(OnError::Stop, &lines.join("\n"));
    assert_eq!(outcome.values(), (0..20_000).map(|n| f64::from(60 + n % 40)).collect::<Vec<_>>());
    assert_eq!(outcome.through, 20_000);
}

fn stream_of(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let schema = batches[0].schema();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

/// Three points in the plainest types.
fn plain() -> Vec<(&'static str, ArrayRef)> {
    let at = time::parse("2026-06-01T08:00:00Z").unwrap() / 1_000;
    vec![
        ("metric", Arc::new(StringArray::from(vec!["heart_rate", "heart_rate", "spo2"]))),
        ("value", Arc::new(Float64Array::from(vec![61.0, 62.0, 97.0]))),
        ("recorded_at", Arc::new(TimestampMillisecondArray::from(vec![at, at + 1, at + 2]))),
        ("source", Arc::new(StringArray::from(vec!["w"; 3]))),
        ("source_device_id", Arc::new(StringArray::from(vec![None, Some("d"), None]))),
        ("user_id", Arc::new(StringArray::from(vec![None, None, Some("usr_00000002")]))),
    ]
}

#[test]
fn arrow_batches_become_points_in_every_type_that_clients_write() {
    let bench = Bench::new();
    let bytes = stream_of(&[batch(plain()), batch(plain())], None);
    let expected = bench.run(Format::Arrow, OnError::Stop, [&bytes[..]], |_| true);
    assert_eq!((expected.values().len(), expected.through, &expected.faults[..]), (6, 6, &[][..]));
    assert_eq!(expected.points[1].5.as_deref(), Some("d"));
    assert_eq!((expected.points[2].0, expected.points[2].1), (user("usr_00000002"), bench.place("spo2")));
    let once = bench.run(Format::Arrow, OnError::Stop, [&stream_of(&[batch(plain())], None)[..]], |_| true);
    let at = time::parse("2026-06-01T08:00:00Z").unwrap() / 1_000_000;
    let same = |name: &str, array: ArrayRef| {
        let columns = plain()
            .into_iter()
            .map(|(column, plain)| (column, if column == name { Arc::clone(&array) } else { plain }));
        let bytes = stream_of(&[batch(columns.collect())], Some(CompressionType::ZSTD));
        bench.run(Format::Arrow, OnError::Stop, bytes.chunks(13), |_| true)
    };
    let metric = vec!["heart_rate", "heart_rate", "spo2"];
    assert_eq!(same("metric", Arc::new(LargeStringArray::from(metric.clone()))), once);
    assert_eq!(same("metric", Arc::new(StringViewArray::from(metric.clone()))), once);
    assert_eq!(same("metric", Arc::new(metric.into_iter().collect::<DictionaryArray<Int8Type>>())), once);
    assert_eq!(same("value", Arc::new(Int64Array::from(vec![61, 62, 97]))), once);
    assert_eq!(same("value", Arc::new(Float32Array::from(vec![61.0, 62.0, 97.0]))), once);
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![at; 3]).with_timezone("Europe/Berlin"));
    assert_eq!(same("recorded_at", seconds).points[0].2, at * 1_000_000);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["2026-06-01T08:00:00Z"; 3]));
    assert_eq!(same("recorded_at", texts).points[0].2, at * 1_000_000);
}

#[test]
fn rows_of_arrow_have_faults_like_lines() {
    let bench = Bench::new();
    let mut columns = plain();
    columns[1].1 = Arc::new(Float64Array::from(vec![None, Some(900.0), Some(97.0)]));
    let bytes = stream_of(&[batch(columns)], None);
    let outcome = bench.run(Format::Arrow, OnError::Skip, [&bytes[..]], |_| true);
    assert_eq!(outcome.values(), [97.0]);
    assert_eq!(outcome.faults, ["body/1/value: is required", "body/2/value: must be between 15 and 350 bpm"]);
    let outcome = bench.run(Format::Arrow, OnError::Stop, [&bytes[..]], |_| true);
    assert_eq!((outcome.through, outcome.is_stopped, outcome.points.len()), (0, true, 0));
}

#[test]
fn what_is_no_arrow_stream_says_why() {
    let bench = Bench::new();
    let faults = |bytes: &[u8]| {
        let outcome = bench.run(Format::Arrow, OnError::Skip, [bytes], |_| true);
        assert!(outcome.is_stopped);
        outcome.faults.last().unwrap().replace("the Arrow stream cannot be read on: ", "")
    };
    let good = stream_of(&[batch(plain())], None);
    assert_eq!(faults(b""), "body/1: it is empty: not even a schema");
    assert_eq!(faults(b"{\"metric\":\"heart_rate\"}"), "body/1: a header of 1701651067 bytes, of at most 262144");
    assert_eq!(faults(&good[..good.len() - 100]), "body/1: it ends inside a message");
    assert_eq!(faults(&[&good[..], b"more"].concat()), "body/4: something follows the end of the stream");
    let without: Vec<_> = plain().into_iter().filter(|(name, _)| *name != "source").collect();
    assert_eq!(faults(&stream_of(&[batch(without)], None)), "body/1: there is no column `source`");
    let lz4 = stream_of(&[batch(plain())], Some(CompressionType::LZ4_FRAME));
    assert_eq!(faults(&lz4), "body/1: buffers in another compression than zstd");
    let mut columns = plain();
    columns[1].1 = Arc::new(StringArray::from(vec!["61"; 3]));
    assert_eq!(faults(&stream_of(&[batch(columns)], None)), "body/1: column `value` must be a number");
}

/// Begins every frame of zstd (RFC 8878).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[test]
fn a_buffer_that_says_it_inflates_to_more_is_refused_before_it_does() {
    let bench = Bench::new();
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![62.0; 8_192]));
    let many = |array: ArrayRef| {
        let columns = plain().into_iter().map(|(name, plain)| {
            let array = if name == "value" {
                Arc::clone(&array)
            } else {
                ::arrow::compute::concat(&vec![&*plain.slice(0, 1); 8_192]).unwrap()
            };
            (name, array)
        });
        stream_of(&[batch(columns.collect())], Some(CompressionType::ZSTD))
    };
    let mut bytes = many(zeros);
    let said = (8_192_u64 * 8).to_le_bytes();
    let at = bytes.windows(12).position(|window| window == [&said[..], &ZSTD_MAGIC].concat()).unwrap();
    bytes[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let outcome = bench.run(Format::Arrow, OnError::Stop, [&bytes[..]], |_| true);
    assert!(outcome.faults[0].ends_with("a message of over 16777216 bytes, inflated"), "{:?}", outcome.faults);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_arrow_streams_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(), is_cut: bool) {
        let bench = Bench::new();
        let mut bytes = stream_of(&[batch(plain()), batch(plain())], None);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let outcome = bench.run(Format::Arrow, OnError::Skip, bytes.chunks(97), |_| true);
        prop_assert!(outcome.points.len() <= 6);
    }

    #[test]
    fn a_stream_stores_what_each_line_alone_would(lines in prop::collection::vec(any_line(), 0..40), cut in 1_usize..200) {
        let bench = Bench::new();
        let text = lines.join("\n");
        let all = bench.run(Format::Lines, OnError::Skip, text.as_bytes().chunks(cut), |_| true);
        let mut alone = Vec::new();
        for line in text.split('\n') {
            alone.extend(bench.lines(OnError::Skip, line).values());
        }
        prop_assert_eq!(all.values(), alone);
    }
}

/// Good lines, and all sorts of others.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (15_u32..350, 0_u32..60).prop_map(|(value, minute)| line(f64::from(value), minute, "")),
        1 => Just(String::new()),
        1 => Just("{}".to_owned()),
        1 => Just("[1".to_owned()),
        1 => Just("2]".to_owned()),
        1 => Just(r#"{"a":"b"#.to_owned()),
        1 => Just("{\"metric\":\"heart_rate\",\"value\":1e999,\"unit\":\"bpm\",\"recorded_at\":\"x\",\"source\":\"w\"}".to_owned()),
        1 => "[ -~]{0,30}",
    ]
}
