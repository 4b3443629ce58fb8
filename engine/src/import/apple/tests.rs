//! Whole documents, as a phone writes them, and what is done to them on the way.

use std::fmt::{self, Write as _};
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::import::{Daily, Found, Sample, Stop};

/// A sink that remembers, as text that a test can show.
#[derive(Debug, Default)]
pub(in crate::import) struct Seen {
    pub(in crate::import) found: Vec<String>,
    pub(in crate::import) skipped: Vec<(&'static str, String)>,
    pub(in crate::import) reached: Vec<u64>,
    /// Start, end, and when it was told, of each night; its points are among `found`.
    pub(in crate::import) nights: Vec<(i64, i64, Option<i64>)>,
    /// After how many finds it wants no more.
    pub(in crate::import) patience: Option<usize>,
}

impl Seen {
    pub(in crate::import) fn count(&self, reason: &str) -> usize {
        self.skipped.iter().filter(|(found, _)| *found == reason).count()
    }
}

impl Sink for Seen {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        if self.patience.is_some_and(|patience| self.found.len() >= patience) {
            return Err(Stop::Asked);
        }
        let named = |maker: crate::import::Maker<'_>| format!("{} [{}]", maker.source, maker.device.unwrap_or("-"));
        let at = crate::time::format;
        if let Found::Night(night) = found {
            self.nights.push((night.start, night.end, night.told_at));
            let line = |(metric, value)| format!("{metric} {value} at {} by {}", at(night.end), named(night.maker));
            self.found.extend(night.points().map(line));
            return Ok(());
        }
        let text = if let Found::Sample(sample) = found {
            let Sample { metric, value, recorded_at, maker } = sample;
            format!("{metric} {value} at {} by {}", at(recorded_at), named(maker))
        } else if let Found::Piece(piece) = found {
            format!(
                "{}.{} {} from {} to {} {:+} rank {} by {}",
                if piece.daily == Daily::Steps { "steps" } else { "calories" },
                piece.strand,
                piece.value,
                at(piece.start),
                at(piece.end),
                piece.offset_s,
                piece.rank,
                named(piece.maker),
            )
        } else {
            format!("{found:?}")
        };
        self.found.push(text);
        Ok(())
    }

    fn skipped(&mut self, reason: &'static str, example: &dyn fmt::Display) {
        self.skipped.push((reason, example.to_string()));
    }

    fn reached(&mut self, bytes: u64) -> Result<(), Stop> {
        self.reached.push(bytes);
        Ok(())
    }
}

const WATCH: &str = "device=\"&lt;&lt;HKDevice: 0x28&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, software:9.1&gt;\"";
const WATCH_NAME: &str = "Watch [Apple Watch, Apple Inc., Watch, Watch6,2]";

/// A record of the watch, `start` and `end` on 1 March 2021 in Berlin.
fn record(kind: &str, unit: &str, value: &str, start: &str, end: &str) -> String {
    format!(
        "<Record type=\"{kind}\" sourceName=\"Watch\" sourceVersion=\"9.1\" {WATCH} unit=\"{unit}\" creationDate=\"2021-03-01 23:00:00 +0100\" startDate=\"2021-03-01 {start} +0100\" endDate=\"2021-03-01 {end} +0100\" value=\"{value}\"/>\n"
    )
}

fn quantity(name: &str, unit: &str, value: &str) -> String {
    record(&format!("HKQuantityTypeIdentifier{name}"), unit, value, "08:00:00", "08:05:00")
}

pub(super) fn export(records: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE HealthData [\n<!ELEMENT Record EMPTY\n<!-- ]> -->\n]>\n<HealthData locale=\"de_DE\">\n <ExportDate value=\"2021-03-02 10:00:00 +0100\"/>\n <Me HKCharacteristicTypeIdentifierDateOfBirth=\"1980-01-01\"/>\n{records}</HealthData>\n"
    )
}

pub(super) fn taken(document: &str) -> Seen {
    let mut seen = Seen::default();
    read(Cursor::new(document), &mut seen).unwrap();
    seen
}

#[test]
fn every_metric_of_the_list_is_taken_in_its_unit() {
    let records = [
        quantity("HeartRate", "count/min", "62"),
        quantity("OxygenSaturation", "%", "0.97"),
        quantity("RespiratoryRate", "count/min", "14.5"),
        quantity("BodyTemperature", "degF", "98.6"),
        quantity("HeartRateVariabilitySDNN", "ms", "45.5"),
        quantity("StepCount", "count", "17"),
        quantity("ActiveEnergyBurned", "kJ", "4.184"),
        quantity("BasalEnergyBurned", "Cal", "2.5"),
    ];
    let seen = taken(&export(&records.concat()));
    let (from, to) = ("2021-03-01T07:00:00Z", "2021-03-01T07:05:00Z");
    assert_eq!(
        seen.found,
        [
            format!("heart_rate 62 at {from} by {WATCH_NAME}"),
            format!("spo2 97 at {from} by {WATCH_NAME}"),
            format!("respiratory_rate 14.5 at {from} by {WATCH_NAME}"),
            format!("body_temperature 37 at {from} by {WATCH_NAME}"),
            format!("hrv_sdnn 45.5 at {from} by {WATCH_NAME}"),
            format!("steps.0 17 from {from} to {to} +3600 rank 0 by {WATCH_NAME}"),
            format!("calories.0 1 from {from} to {to} +3600 rank 0 by {WATCH_NAME}"),
            format!("calories.1 2.5 from {from} to {to} +3600 rank 0 by {WATCH_NAME}"),
        ]
    );
    assert!(seen.skipped.is_empty(), "{:?}", seen.skipped);
}

#[test]
fn what_is_left_out_says_why() {
    let at = |start: &str, end: &str| record("HKQuantityTypeIdentifierStepCount", "count", "1", start, end);
    let records = [
        quantity("AppleSleepingWristTemperature", "degC", "35.1"),
        quantity("VO2Max", "mL/min·kg", "40"),
        quantity("VO2Max", "mL/min·kg", "41"),
        quantity("HeartRate", "count/min", "fast"),
        quantity("HeartRate", "furlong", "62"),
        at("08:00:00", "07:00:00"),
        at("88:00:00", "07:00:00"),
        record(
            "HKCategoryTypeIdentifierSleepAnalysis",
            "",
            "HKCategoryValueSleepAnalysisInBed",
            "01:00:00",
            "02:00:00",
        ),
        record("HKCategoryTypeIdentifierSleepAnalysis", "", "7", "01:00:00", "02:00:00"),
        "<Record/>".to_owned(),
        "<Workout><WorkoutStatistics/></Workout><ActivitySummary/><ActivitySummary/><Strange/>".to_owned(),
    ];
    let seen = taken(&export(&records.concat()));
    assert!(seen.found.is_empty(), "{:?}", seen.found);
    let reasons: Vec<_> = seen.skipped.iter().map(|(reason, example)| format!("{reason}: {example}")).collect();
    insta::assert_snapshot!(reasons.join("\n"), @r"
    temperature of the wrist asleep, which is not body temperature: AppleSleepingWristTemperature 35.1 degC at 2021-03-01 08:00:00 +0100
    records that are no metric here: HKQuantityTypeIdentifierVO2Max: VO2Max 40 mL/min·kg at 2021-03-01 08:00:00 +0100
    records that are no metric here: HKQuantityTypeIdentifierVO2Max: VO2Max 41 mL/min·kg at 2021-03-01 08:00:00 +0100
    values that are no numbers: HeartRate fast count/min at 2021-03-01 08:00:00 +0100
    values in a unit that is not known for them: HeartRate 62 furlong at 2021-03-01 08:00:00 +0100
    records that end before they begin: StepCount 1 count at 2021-03-01 08:00:00 +0100
    records whose time cannot be read: StepCount 1 count at 2021-03-01 88:00:00 +0100
    time in bed or awake, which is no sleep: SleepAnalysis HKCategoryValueSleepAnalysisInBed  at 2021-03-01 01:00:00 +0100
    records of sleep of a kind that is not known here: SleepAnalysis 7  at 2021-03-01 01:00:00 +0100
    records of a type that is not known here:    at 
    workouts, whose heart rate and energy stand among the records: Workout
    summaries of activity rings, as totals are made of the records: ActivitySummary
    summaries of activity rings, as totals are made of the records: ActivitySummary
    elements that are not known here: Strange
    ");
}

#[test]
fn records_inside_of_a_correlation_are_counted_once() {
    let steps = quantity("StepCount", "count", "17");
    let seen = taken(&export(&format!("{steps}<Correlation type=\"x\">{steps}{steps}</Correlation>")));
    assert_eq!(seen.found.len(), 1);
    assert_eq!(seen.count("records repeated inside of a correlation, which stand outside of it too"), 2);
}

/// A record of SDNN with beats 800 and 840 ms apart.
fn beating(beats: usize) -> String {
    let mut at_ms = 0;
    let mut list = String::new();
    for index in 0..beats {
        let (apart_ms, bpm) = if index % 2 == 0 { (800, 75) } else { (840, 71) };
        at_ms += apart_ms;
        let (minute, second, fraction) = (at_ms / 60_000, at_ms / 1_000 % 60, at_ms / 10 % 100);
        let time = format!("8:{minute:02}:{second:02},{fraction:02} AM");
        write!(list, "<InstantaneousBeatsPerMinute bpm=\"{bpm}\" time=\"{time}\"/>").unwrap();
    }
    let head = quantity("HeartRateVariabilitySDNN", "ms", "20");
    let head = head.trim_end().trim_end_matches("/>");
    format!("{head}>\n<HeartRateVariabilityMetadataList>{list}</HeartRateVariabilityMetadataList></Record>")
}

#[test]
fn rmssd_comes_from_the_beats_and_sdnn_never_becomes_it() {
    let seen = taken(&export(&format!("{}{}", beating(30), beating(5))));
    assert_eq!(seen.found.len(), 3, "{:?}", seen.found);
    assert_eq!(seen.found[0], format!("hrv_sdnn 20 at 2021-03-01T07:00:00Z by {WATCH_NAME}"));
    assert!(seen.found[1].starts_with("hrv 40"), "{}", seen.found[1]);
    assert!(seen.found[2].starts_with("hrv_sdnn 20"), "{}", seen.found[2]);
    assert_eq!(seen.count("beats of a record that are too few or too irregular for RMSSD"), 1);
}

#[test]
fn a_name_may_hold_controls_entities_and_bytes_that_are_no_text() {
    let record = quantity("HeartRate", "count/min", "62");
    let mut document = Vec::new();
    for name in
        [b"Wa\x0btch".as_slice(), b"Wa&#11;tch", b"Wa&#160;tch", b"Wa&bomb;tch", b"Wa\xfftch", b"Wa\xe2\x80\xaftch"]
    {
        let (before, after) = record.split_once("Watch\" sourceVersion").unwrap();
        document.extend_from_slice(before.as_bytes());
        document.extend_from_slice(name);
        document.extend_from_slice(b"\" sourceVersion");
        document.extend_from_slice(after.as_bytes());
    }
    let empty = export("");
    let (head, tail) = empty.split_at(empty.find("</HealthData>").unwrap());
    let whole = [head.as_bytes(), &document, tail.as_bytes()].concat();
    let mut seen = Seen::default();
    read(Cursor::new(whole), &mut seen).unwrap();
    let sources: Vec<_> =
        seen.found.iter().map(|found| found.split_once(" by ").unwrap().1.split_once(" [").unwrap().0).collect();
    assert_eq!(sources, ["Wa tch", "Wa tch", "Wa tch", "Wa&bomb;tch", "Wa?tch", "Wa tch"]);
    assert_eq!(seen.count("bytes that are no UTF-8, read as question marks"), 1);
}

#[test]
fn a_truncated_file_gives_what_came_before_and_says_where_it_broke() {
    let document = export(&quantity("HeartRate", "count/min", "62").repeat(10));
    let between = document.find("</HealthData>").unwrap() - 1;
    for end in [between, document.len() - 2, document.len() - 20, document.len() - 100, document.len() - 1_000] {
        let mut seen = Seen::default();
        let Err(Fault::Broken { at, .. }) = read(Cursor::new(&document[..end]), &mut seen) else { panic!("{end}") };
        let whole = document[..end].matches("\"/>").count() - 2;
        assert_eq!(seen.found.len(), whole, "{end}");
        assert!(at <= u64::try_from(end).unwrap() && at + 600 > u64::try_from(end).unwrap(), "{at} of {end}");
    }
}

#[test]
fn a_night_is_left_out_only_if_the_file_breaks_among_its_records() {
    let asleep = "HKCategoryValueSleepAnalysisAsleep";
    let sleep = record("HKCategoryTypeIdentifierSleepAnalysis", "", asleep, "01:00:00", "05:00:00");
    for (records, nights) in [(sleep.clone(), 0), (format!("{sleep}{}", quantity("StepCount", "count", "17")), 1)] {
        let whole = export(&records);
        let mut seen = Seen::default();
        read(Cursor::new(&whole[..whole.len() - 3]), &mut seen).unwrap_err();
        let found = seen.found.iter().filter(|found| found.starts_with("sleep_duration")).count();
        assert_eq!(found, nights, "{:?}", seen.found);
        assert!(taken(&whole).found.iter().any(|found| found.starts_with("sleep_duration 4 ")));
    }
}

#[test]
fn what_is_no_export_says_so() {
    for (text, words) in [
        ("", "ends before its root element"),
        ("PK", "no XML"),
        ("<ClinicalDocument/>", "the root element is <ClinicalDocument>, not <HealthData>"),
        ("{\"data\":1}", "no XML"),
        ("<HealthData></HealthData><HealthData>", "second root"),
        ("<HealthData><a></b></HealthData>", "expected"),
        ("<HealthData><Record a=1/></HealthData>", "quotes"),
    ] {
        let error = read(Cursor::new(text), &mut Seen::default()).unwrap_err();
        assert!(matches!(error, Fault::Broken { .. }) && error.to_string().contains(words), "{text}: {error}");
    }
}

/// Fails once behind what it holds, and then ends, as a bad sector does.
struct Failing(Cursor<&'static [u8]>, bool);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 if !std::mem::replace(&mut self.1, true) => Err(io::Error::other("bad sector")),
            read => Ok(read),
        }
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_failing_disk_is_no_broken_file_and_no_end_of_one() {
    for text in ["<HealthData></HealthData>", "<HealthData>", "<?xml?>"] {
        let outcome = read(Failing(Cursor::new(text.as_bytes()), false), &mut Seen::default());
        assert!(matches!(outcome, Err(Fault::Io(_))), "{text}: {outcome:?}");
    }
}

#[test]
fn depth_attributes_and_length_are_bounded() {
    let deep = format!("<HealthData>{}", "<a>".repeat(100_000));
    let wide = format!("<HealthData><Record {}/></HealthData>", "a=\"\" ".repeat(65));
    let long = format!("<HealthData><Record a=\"{}\"/></HealthData>", "x".repeat(2 * text::PIECE_BYTES_MAX));
    for (document, words) in [(deep, "inside of each other"), (wide, "64 attributes"), (long, "1048576 bytes")] {
        let error = read(Cursor::new(document), &mut Seen::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let allowed = format!("<HealthData><Record {}/></HealthData>", "a=\"\" ".repeat(64));
    read(Cursor::new(allowed), &mut Seen::default()).unwrap();
}

#[test]
fn a_sink_that_wants_no_more_ends_the_reading() {
    let document = export(&quantity("HeartRate", "count/min", "62").repeat(10));
    let mut seen = Seen { patience: Some(3), ..Seen::default() };
    let outcome = read(Cursor::new(document), &mut seen);
    assert!(matches!(outcome, Err(Fault::Stopped(Stop::Asked))), "{outcome:?}");
    assert_eq!(seen.found.len(), 3);
}

#[test]
fn progress_is_told_at_least_once_a_mebibyte_and_at_the_end() {
    let document = export(&quantity("HeartRate", "count/min", "62").repeat(12_000));
    let seen = taken(&document);
    assert!(document.len() > 4 << 20);
    assert!(seen.reached.len() > 4 && seen.reached.is_sorted());
    assert!(seen.reached.windows(2).all(|pair| pair[1] - pair[0] <= 1 << 20));
    assert_eq!(seen.reached.last().copied(), u64::try_from(document.len()).ok());
}

/// Most kinds of elements, small.
fn varied() -> Vec<u8> {
    let sleep = |stage: &str, start: &str, end: &str| {
        record("HKCategoryTypeIdentifierSleepAnalysis", "", &format!("HKCategoryValueSleepAnalysis{stage}"), start, end)
    };
    let parts = [
        quantity("HeartRate", "count/min", "62"),
        sleep("AsleepCore", "01:00:00", "02:00:00"),
        sleep("AsleepDeep", "02:00:00", "03:00:00"),
        quantity("StepCount", "count", "17"),
        beating(22),
        "<Correlation><Record type=\"a\"/></Correlation><!-- c --><Workout a='b'>text &amp; &x;</Workout>".to_owned(),
    ];
    export(&parts.concat()).into_bytes()
}

proptest! {
    #[test]
    fn mutations_and_truncations_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        moved in any::<(prop::sample::Index, prop::sample::Index)>(),
        end in any::<prop::sample::Index>(),
    ) {
        let mut document = varied();
        for (place, byte) in changes {
            let place = place.index(document.len());
            document[place] = byte;
        }
        let (one, other) = (moved.0.index(document.len()), moved.1.index(document.len()));
        document.copy_within(one.min(other)..one.max(other), 0);
        let whole = read(Cursor::new(&document), &mut Seen::default());
        prop_assert!(!matches!(whole, Err(Fault::Io(_))), "{:?}", whole);
        document.truncate(end.index(document.len()));
        let cut = read(Cursor::new(&document), &mut Seen::default());
        prop_assert!(!matches!(cut, Err(Fault::Io(_))), "{:?}", cut);
    }

    #[test]
    fn the_same_bytes_give_the_same_calls(end in any::<prop::sample::Index>()) {
        let document = varied();
        let cut = &document[..end.index(document.len())];
        let seen = || {
            let mut seen = Seen::default();
            let _ = read(Cursor::new(cut), &mut seen);
            (seen.found, seen.skipped)
        };
        prop_assert_eq!(seen(), seen());
    }
}
