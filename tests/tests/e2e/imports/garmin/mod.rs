//! Garmin's files against Python: real ones and generated ones, read by `fitdecode` and by Garmin's own SDK, value by
//! value. None of the truth is computed by our own code.
//!
//! The real files are those that `fitparser` (a crate) and `garth` (a Python package) publish for their own tests, both
//! under the MIT licence: taken from the package registries by name and version, never copied into this repository.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::import::{Fault, Found, Sink, Stop, counter, garmin};
use serde_json::{Value, json};
use tests::python;

use crate::watch::fixtures;

/// What the importer says, as the scripts write it.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Value>,
    skipped: BTreeMap<&'static str, u32>,
}

impl Sink for Rows {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        if let Found::Night(night) = found {
            assert_eq!(night.maker.source, "garmin");
            let row = |(metric, value)| json!(["sample", metric, bits(value), night.end, night.maker.device]);
            self.rows.extend(night.points().map(row));
            return Ok(());
        }
        self.rows.push(match found {
            Found::Night(_) => return Ok(()),
            Found::Sample(sample) => {
                assert_eq!(sample.maker.source, "garmin");
                json!(["sample", sample.metric, bits(sample.value), sample.recorded_at, sample.maker.device])
            }
            Found::Reading(reading) => json!([
                "reading",
                reading.daily.total_metric(),
                bits(reading.value),
                reading.strand,
                reading.at,
                reading.start,
                reading.offset_s,
                reading.maker.device
            ]),
            Found::DayTotal(total) => json!(["total", total.daily.total_metric(), bits(total.value), total.start]),
            Found::Piece(piece) => json!(["piece", format!("{piece:?}")]),
        });
        Ok(())
    }

    fn skipped(&mut self, reason: &'static str, _: &dyn fmt::Display) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    fn reached(&mut self, _: u64) -> Result<(), Stop> {
        Ok(())
    }
}

/// Runs a script beside this file; the JSON that it prints.
fn script(python: &Path, name: &str, arguments: &[&Path]) -> Result<Value, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/imports/garmin").join(name);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

fn read(file: &Path) -> Rows {
    let mut rows = Rows::default();
    garmin::read(File::open(file).unwrap(), &mut rows).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
    rows
}

/// A value as the scripts write it: decimals may be read as a neighbour of the double that they were made of.
fn bits(value: f64) -> i64 {
    value.to_bits().cast_signed()
}

/// Asserts that both hold the same rows, in whatever order.
fn assert_same(ours: &[Value], theirs: &[Value], what: &str) {
    let count = |rows: &[Value]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for row in rows {
            *counts.entry(row.to_string()).or_default() += 1;
        }
        counts
    };
    let (ours, theirs) = (count(ours), count(theirs));
    let extra: Vec<_> = ours.iter().filter(|(row, count)| theirs.get(*row) != Some(*count)).take(5).collect();
    let missing: Vec<_> = theirs.iter().filter(|(row, count)| ours.get(*row) != Some(*count)).take(5).collect();
    assert!(extra.is_empty() && missing.is_empty(), "{what}: ours {extra:#?}, theirs {missing:#?}");
}

fn interpreter() -> Option<PathBuf> {
    python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// Every file in `files` against both decoders of others. Returns how many rows there were, by metric.
fn compare(python: &Path, files: &[PathBuf]) -> BTreeMap<String, usize> {
    let arguments: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let truth = script(python, "truth.py", &arguments).unwrap();
    let mut counts = BTreeMap::new();
    for file in files {
        let ours = read(file).rows;
        let theirs = truth[file.to_str().unwrap()].as_array().unwrap();
        assert_same(&ours, theirs, &file.display().to_string());
        for row in theirs {
            *counts.entry(format!("{} {}", row[0].as_str().unwrap(), row[1].as_str().unwrap())).or_default() += 1;
        }
    }
    counts
}

/// Heart rates in `sample_mulitple_header.fit` that a strap kept in the water.
const STRAP_BEATS: usize = 9_267;

#[test]
fn real_watch_files_agree_with_two_other_decoders_value_by_value() {
    let Some(python) = interpreter() else { return };
    let mut files: Vec<_> = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 13, "{files:?}");
    let counts = compare(&python, &files);
    let expected = [
        ("reading calories", 3),
        ("reading steps", 81),
        ("sample heart_rate", 1_072 + 19 + 1_430 + STRAP_BEATS),
        ("sample hrv", 4),
        ("sample respiratory_rate", 1_067),
    ];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

#[test]
fn generated_watch_files_agree_with_other_decoders_and_with_what_was_written() {
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let known = script(&python, "generate.py", &[folder.path()]).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let counts = compare(&python, &files);
    for metric in ["heart_rate", "hrv", "spo2", "respiratory_rate", "sleep_duration", "sleep_deep", "sleep_rem"] {
        assert!(counts.contains_key(&format!("sample {metric}")), "{metric} in {counts:?}");
    }
    for name in ["compressed", "big_endian", "developer", "sleep", "hrv_status", "chained"] {
        let name = format!("{name}.fit");
        let rows = read(&folder.path().join(&name)).rows;
        let samples: Vec<_> = rows.iter().map(|row| json!([row[1], row[2], row[3]])).collect();
        assert_same(&samples, known[&name].as_array().unwrap(), &name);
    }

    // The totals of a day that lies in three files, whichever comes first.
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 3]] {
        let files = order.iter().map(|part| folder.path().join(format!("day_{part}.fit")));
        let totals = totals(files.flat_map(|file| read(&file).rows));
        for (daily, total) in &totals {
            assert_eq!(Some(*total), known["totals"][daily].as_f64(), "{daily} in the order {order:?}");
        }
        assert_eq!(totals.len(), 2);
    }
}

/// Start of the day that the generated files are of, microseconds UTC.
const DAY_START: i64 = 1_714_514_400_000_000;

/// The totals of that day, of all readings.
fn totals(rows: impl Iterator<Item = Value>) -> BTreeMap<String, f64> {
    let mut counters: BTreeMap<_, BTreeMap<i64, f64>> = BTreeMap::new();
    for row in rows.filter(|row| row[0] == "reading" && row[5] == DAY_START) {
        let value = f64::from_bits(row[2].as_i64().unwrap().cast_unsigned());
        let counter = counters.entry((row[1].as_str().unwrap().to_owned(), row[3].as_i64().unwrap())).or_default();
        counter.entry(row[4].as_i64().unwrap()).and_modify(|kept| *kept = kept.max(value)).or_insert(value);
    }
    let mut totals = BTreeMap::new();
    for ((daily, _), readings) in counters {
        let readings: Vec<_> = readings.into_iter().collect();
        let pieces = counter::pieces(DAY_START, &readings);
        *totals.entry(daily).or_default() += pieces.map(|piece| piece.value).sum::<f64>();
    }
    totals
}

#[test]
fn an_accounts_export_gives_what_garmin_connect_answered() {
    let Some(python) = interpreter() else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("garth/export");
    std::fs::create_dir_all(&folder).unwrap();
    let export = folder.join(format!("{}.zip", std::process::id()));
    let watch =
        ["MonitoringFile.fit", "hrv-activity.fit", "sample_mulitple_header.fit"].map(|name| fixtures().join(name));
    let arguments: Vec<_> = [&export].into_iter().chain(&watch).map(PathBuf::as_path).collect();
    let known = match script(&python, "export.py", &arguments) {
        Ok(known) => known,
        Err(reason) => return python::skip(&reason),
    };
    let mut expected = known["rows"].as_array().unwrap().clone();
    assert!(known["nights"].as_i64().unwrap() >= 5 && known["days"].as_i64().unwrap() >= 2, "{known}");
    assert!(expected.iter().any(|row| row[1] == "hrv"), "{expected:?}");
    for file in &watch {
        expected.extend(read(file).rows);
    }
    let found = read(&export);
    std::fs::remove_file(&export).unwrap();
    assert_same(&found.rows, &expected, "the export");
    assert_eq!(found.skipped.get("a file in the archive that holds nothing for us"), Some(&1));
    assert_eq!(found.skipped.get("an average of a night or a day"), Some(&1));
}

#[test]
fn a_real_file_that_is_cut_or_damaged_keeps_what_came_before() {
    let file = fixtures().join("hrv-activity.fit");
    let bytes = std::fs::read(&file).unwrap();
    let whole = read(&file).rows;
    for cut in (0..bytes.len()).step_by(1_013) {
        let mut rows = Rows::default();
        match garmin::read(std::io::Cursor::new(&bytes[..cut]), &mut rows) {
            Err(Fault::Broken { at, .. }) => assert!(at <= cut as u64),
            other => panic!("cut at {cut}: {other:?}"),
        }
        // Samples of records stand; the window of beats that was open at the break is given in its place.
        let heart_rates =
            |rows: &[Value]| rows.iter().filter(|row| row[1] == "heart_rate").cloned().collect::<Vec<_>>();
        let (kept, all) = (heart_rates(&rows.rows), heart_rates(&whole));
        assert_eq!(kept, all[..kept.len()], "cut at {cut}");
        if cut > bytes.len() / 2 {
            assert!(kept.len() > 100, "cut at {cut}");
        }
    }
}
