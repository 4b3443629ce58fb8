//! Streams that mean harm: each is refused where it lies, what stands before it is kept, and nothing panics.

use ::arrow::array::{Array, ListArray, NullArray, TimestampMicrosecondArray, new_null_array};
use ::arrow::datatypes::{DataType, Field};

use super::*;

/// A line with this in place of `"w"`, its source.
fn sourced(source: &[u8]) -> Vec<u8> {
    let line = line(99.0, 30, "").into_bytes();
    let at = line.windows(3).position(|window| window == b"\"w\"").unwrap();
    [&line[..at], source, &line[at + 3..]].concat()
}

#[test]
fn a_hostile_line_is_a_fault_of_its_own_and_of_no_other() {
    let bench = Bench::new();
    let valued = |value: &str| line(99.0, 30, "").replace("99", value).into_bytes();
    let more = |more: &str| line(99.0, 30, more).into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no UTF-8", sourced(b"\"\xff\xfe\"")),
        ("a cut character", sourced(b"\"\xf0\x9f\x98\"")),
        ("no UTF-8 in a field that nobody knows", [&more("")[..more("").len() - 1], b",\"x\":\"\xc0\xaf\"}"].concat()),
        ("a lone surrogate", sourced(br#""\ud800""#)),
        ("a control character", sourced(b"\"\x07\"")),
        ("a NUL", vec![0]),
        ("a byte order mark", [b"\xef\xbb\xbf".to_vec(), more("")].concat()),
        ("NaN", valued("NaN")),
        ("Infinity", valued("-Infinity")),
        ("1e999", valued("1e999")),
        ("-1e999", valued("-1e999")),
        ("a number of 60,000 digits", valued(&"9".repeat(60_000))),
        ("a value that is a list", valued("[62]")),
        ("a value that is a text", valued("\"62\"")),
        ("60,000 brackets", vec![b'['; 60_000]),
        ("10,000 objects", br#"{"a":"#.repeat(10_000)),
        ("60,000 brackets in a field", more(&format!(r#","x":{}"#, "[".repeat(60_000)))),
        ("a list of points", [b"[".to_vec(), more(""), b"]".to_vec()].concat()),
        ("null", b"null".to_vec()),
        ("a comma", b",".to_vec()),
        ("the end of a list", b"]".to_vec()),
        ("two points", [more(""), more("")].concat()),
        ("a name of 60,000 characters", sourced(format!("\"{}\"", "x".repeat(60_000)).as_bytes())),
        ("half a point", more("")[..40].to_vec()),
    ];
    for (name, hostile) in cases {
        let before = line(61.0, 0, "").into_bytes();
        let text = [before, hostile, line(62.0, 1, "").into_bytes()].join(&b'\n');
        for cut in [text.len(), 7] {
            let outcome = bench.run(Format::Lines, OnError::Skip, text.chunks(cut), |_| true);
            assert_eq!((outcome.values(), outcome.through), (vec![61.0, 62.0], 3), "{name}: {:?}", outcome.faults);
            assert!(!outcome.faults.is_empty(), "{name}");
            assert!(outcome.faults.iter().all(|fault| fault.starts_with("body/2")), "{name}: {:?}", outcome.faults);
            let stopped = bench.run(Format::Lines, OnError::Stop, text.chunks(cut), |_| true);
            assert_eq!((stopped.values(), stopped.through, stopped.is_stopped), (vec![61.0], 1, true), "{name}");
        }
    }
}

#[test]
fn of_a_name_that_stands_in_a_line_twice_the_last_value_counts() {
    let bench = Bench::new();
    let outcome =
        bench.lines(OnError::Stop, &line(61.0, 0, r#","value":64,"user_id":"usr_00000002","user_id":"usr_00000003""#));
    assert_eq!((outcome.values(), outcome.points[0].0), (vec![64.0], user("usr_00000003")));
}

/// What comes of a stream of Arrow; it is over.
fn stopped(bench: &Bench, bytes: &[u8]) -> Outcome {
    let outcome = bench.run(Format::Arrow, OnError::Skip, bytes.chunks(1_009), |_| true);
    assert!(outcome.is_stopped && outcome.points.is_empty(), "{:?}", outcome.points);
    outcome
}

/// The plain columns with one of them replaced, or added.
fn with(name: &'static str, array: ArrayRef) -> Vec<u8> {
    let mut columns = plain();
    match columns.iter_mut().find(|(column, _)| *column == name) {
        Some((_, plain)) => *plain = array,
        None => columns.push((name, array)),
    }
    stream_of(&[batch(columns)], None)
}

/// Bytes of Arrow with the first `from` in them changed to `to`.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn numbers_and_times_of_arrow_that_are_none_are_faults_of_their_rows() {
    let bench = Bench::new();
    let values = Float64Array::from(vec![f64::NAN, f64::INFINITY, 97.0]);
    let outcome = bench.run(Format::Arrow, OnError::Skip, [&with("value", Arc::new(values))[..]], |_| true);
    assert_eq!((outcome.values(), outcome.faults.len()), (vec![97.0], 2), "{:?}", outcome.faults);
    let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN, -1]));
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX, i64::MIN, i64::MAX / 1_000_000]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "2026-13-01T00:00:00Z", "99999999999"]));
    for times in [micros, seconds, texts] {
        let outcome = bench.run(Format::Arrow, OnError::Skip, [&with("recorded_at", times)[..]], |_| true);
        assert!(outcome.faults.iter().all(|fault| fault.contains("/recorded_at: ")), "{:?}", outcome.faults);
        assert!(outcome.points.len() + outcome.faults.len() == 3, "{outcome:?}");
    }
    let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20); 3]));
    let outcome = bench.run(Format::Arrow, OnError::Skip, [&with("source", long)[..]], |_| true);
    assert_eq!((outcome.points.len(), outcome.faults.len()), (0, 3));
}

#[test]
fn an_arrow_stream_that_contradicts_itself_stores_nothing_of_it() {
    let bench = Bench::new();
    let le = |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    // Where the texts of `metric` begin and end.
    let offsets = le(&[0, 10, 20, 24]);
    let good = stream_of(&[batch(plain())], None);
    for lying in [[0, 10, 1 << 30, 24], [0, 10, -1, 24], [0, 10, 5, 24], [10, 10, 20, i32::MAX]] {
        stopped(&bench, &patched(good.clone(), &offsets, &le(&lying)));
    }
    stopped(&bench, &patched(good.clone(), b"heart_rate", b"\xff\xfe\xff\xfe"));
    // Keys of a dictionary that has two texts.
    let keys = [0_u8, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0];
    let texts = keys.iter().map(|key| if *key == 0 { "heart_rate" } else { "spo2" });
    let metric: ArrayRef = Arc::new(texts.collect::<DictionaryArray<Int8Type>>());
    let columns = plain().into_iter().filter(|(name, _)| !["source_device_id", "user_id"].contains(name));
    let many = columns.map(|(name, array)| {
        let many = ::arrow::compute::concat(&vec![&*array.slice(2, 1); keys.len()]).unwrap();
        (name, if name == "metric" { Arc::clone(&metric) } else { many })
    });
    let good = stream_of(&[batch(many.collect())], None);
    assert_eq!(bench.run(Format::Arrow, OnError::Skip, [&good[..]], |_| true).points.len(), keys.len());
    for key in [2_u8, 127, 128, 255] {
        let mut lying = keys;
        lying[3] = key;
        stopped(&bench, &patched(good.clone(), &keys, &lying));
    }
    // A message that says it is longer than may be, than there is, or less than nothing.
    for length in [0x7fff_ffff_u32, 0xffff_fff0, 0x0004_0001] {
        stopped(&bench, &[&[0xff; 4][..], &length.to_le_bytes(), &[0; 64]].concat());
    }
    let twice = [&good[..good.len() - 8], &good[..]].concat();
    let outcome = bench.run(Format::Arrow, OnError::Skip, [&twice[..]], |_| true);
    assert!(outcome.is_stopped && outcome.faults[0].ends_with("a second schema"), "{:?}", outcome.faults);
    assert_eq!(outcome.points.len(), keys.len(), "what stood before it is kept");
}

#[test]
fn what_no_point_needs_of_arrow_is_refused_by_its_schema() {
    let bench = Bench::new();
    let nested = |levels: usize| {
        let mut kind = DataType::Int32;
        for _ in 0..levels {
            kind = DataType::List(Arc::new(Field::new("item", kind, true)));
        }
        new_null_array(&kind, 3)
    };
    for levels in [1, 30, 300] {
        let outcome = stopped(&bench, &with("x", nested(levels)));
        assert!(outcome.faults[0].contains("cannot be read on: "), "{levels}: {:?}", outcome.faults);
    }
    let list: ArrayRef = Arc::new(ListArray::new_null(Arc::new(Field::new("item", DataType::Utf8, true)), 3));
    assert!(stopped(&bench, &with("source", list)).faults[0].contains("column `source` is neither"));
    let names: Vec<_> = (0..70).map(|nth| format!("x{nth}")).collect();
    let wide = names.iter().map(|name| (name.as_str(), Arc::new(NullArray::new(3)) as ArrayRef)).collect();
    assert!(stopped(&bench, &stream_of(&[batch(wide)], None)).faults[0].ends_with("70 columns, of at most 64"));
    let long = plain().into_iter().map(|(name, _)| (name, Arc::new(NullArray::new((1 << 20) + 1)) as ArrayRef));
    let outcome = stopped(&bench, &stream_of(&[batch(long.collect())], None));
    assert!(outcome.faults[0].ends_with("a record batch of over 1048576 rows"), "{:?}", outcome.faults);
    let mut twice = plain();
    twice.push(("value", Arc::new(Float64Array::from(vec![1.0; 3]))));
    let outcome = stopped(&bench, &stream_of(&[batch(twice)], None));
    assert!(outcome.faults[0].ends_with("column `value` is there twice"), "{:?}", outcome.faults);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_are_no_points(bytes in prop::collection::vec(any::<u8>(), 0..2_000), cut in 1_usize..300) {
        let bench = Bench::new();
        for format in [Format::Lines, Format::Arrow] {
            let outcome = bench.run(format, OnError::Skip, bytes.chunks(cut), |_| true);
            prop_assert!(outcome.points.is_empty());
            let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
            prop_assert!(!outcome.faults.is_empty() || (format == Format::Lines && is_blank));
        }
    }

    #[test]
    fn changed_lines_never_panic_and_are_counted(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in 1_usize..300,
    ) {
        let bench = Bench::new();
        let lines: Vec<_> = (0..5).map(|nth| line(60.0 + f64::from(nth), nth, r#","user_id":"usr_00000002""#)).collect();
        let mut bytes = lines.join("\n").into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let outcome = bench.run(Format::Lines, OnError::Skip, bytes.chunks(cut), |_| true);
        let lines = bytes.split(|byte| *byte == b'\n').count();
        let last_is_empty = bytes.last() == Some(&b'\n');
        prop_assert_eq!(usize::try_from(outcome.through).unwrap(), lines - usize::from(last_is_empty));
        prop_assert!(outcome.points.len() <= lines);
    }
}
