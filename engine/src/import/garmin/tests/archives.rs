//! Archives: of watch files, and the export of an account.

use std::io::Cursor;

use super::super::{archive, reason};
use super::sink::Seen;
use super::writer::Pack::{Deflated, Stored, Streamed};
use super::writer::{ENUM, Fit, MAY, U32, heart_rates, zip};
use crate::import::Fault;

fn try_read(file: &[u8]) -> (Seen, Result<(), Fault>) {
    let mut seen = Seen::default();
    let outcome = super::super::read(Cursor::new(file), &mut seen);
    (seen, outcome)
}

fn read(file: &[u8]) -> Seen {
    let (seen, outcome) = try_read(file);
    outcome.unwrap();
    seen
}

#[test]
fn every_watch_file_of_an_archive_is_read_however_it_is_packed() {
    let parts = [heart_rates(&[61]), heart_rates(&[62, 63]), heart_rates(&[64])];
    let inner = zip(&[("c.FIT", &parts[2], Streamed)]);
    let file = zip(&[
        ("folder/", b"", Stored),
        ("../../a.fit", &parts[0], Stored),
        ("b.fit", &parts[1], Streamed),
        ("notes.txt", b"hello", Deflated),
        ("inner.zip", &inner, Streamed),
    ]);
    let seen = read(&file);
    let rates: Vec<_> = seen.of("heart_rate").iter().map(|line| &line[..2]).collect();
    assert_eq!(rates, ["61", "62", "63", "64"]);
    assert_eq!(seen.example(reason::OTHER_FILE), "notes.txt: not read");
    assert_eq!(seen.skipped.len(), 1);
    assert_eq!(seen.reached.last(), Some(&(file.len() as u64)));
}

#[test]
fn a_broken_file_is_reported_and_the_others_are_kept() {
    let good = heart_rates(&[61, 62]);
    let mut damaged = good.clone();
    let place = damaged.len() - 3;
    damaged[place] ^= 0x20;
    let inner = zip(&[("cut.fit", &good[..good.len() - 4], Deflated)]);
    let seen =
        read(&zip(&[("damaged.fit", &damaged, Streamed), ("in.zip", &inner, Streamed), ("a.fit", &good, Stored)]));
    assert_eq!(seen.of("heart_rate").len(), 2 + 1 + 2);
    let (count, example) = &seen.skipped[reason::BROKEN_FILE];
    assert_eq!(*count, 2);
    assert_eq!(
        example,
        &format!("damaged.fit: broken at byte {}: the checksum is wrong: something before this is damaged", place + 1)
    );
}

#[test]
fn an_archive_that_is_cut_anywhere_keeps_what_came_before() {
    let one = heart_rates(&[61]);
    let file = zip(&[("a.fit", &one, Streamed), ("b.fit", &one, Deflated), ("c.fit", &one, Stored)]);
    let mut most = 0;
    for cut in 4..file.len() - 18 {
        let (seen, outcome) = try_read(&file[..cut]);
        let Err(Fault::Broken { at, .. }) = outcome else { panic!("cut at {cut}: {outcome:?}") };
        assert!(at <= cut as u64);
        assert!(seen.found.len() >= most, "cut at {cut}");
        most = seen.found.len();
    }
    assert_eq!(most, 3);
}

#[test]
fn a_damaged_deflate_stream_of_known_size_costs_its_file_only() {
    let rates = heart_rates(&(0..250).map(|rate| rate + 1).collect::<Vec<_>>());
    let mut file = zip(&[("a.fit", &rates, Deflated), ("b.fit", &heart_rates(&[61]), Deflated)]);
    // A block of the reserved type.
    file[30 + 5] |= 6;
    let seen = read(&file);
    assert_eq!(seen.of("heart_rate").len(), 1);
    assert_eq!(seen.count(reason::BROKEN_FILE), 1);
    assert!(seen.example(reason::BROKEN_FILE).starts_with("a.fit: "), "{:?}", seen.skipped);
}

#[test]
fn archives_in_archives_end_at_a_depth() {
    let mut file = heart_rates(&[61]);
    let mut name = "a.fit";
    for _ in 0..100 {
        file = zip(&[(name, &file, Stored)]);
        name = "a.zip";
    }
    let seen = read(&file);
    assert!(seen.found.is_empty());
    assert_eq!(seen.count(reason::TOO_DEEP), 1);

    let mut file = heart_rates(&[61]);
    name = "a.fit";
    for _ in 0..archive::DEPTH_MAX {
        file = zip(&[(name, &file, Stored)]);
        name = "a.zip";
    }
    assert_eq!(read(&file).of("heart_rate").len(), 1);
}

#[test]
fn an_archive_that_inflates_without_bounds_is_broken() {
    let zeros = vec![0; 32 << 20];
    let inner = zip(&[("a.txt", &zeros, Deflated)]);
    let parts: Vec<_> = (0..4).map(|_| ("a.zip", inner.as_slice(), Deflated)).collect();
    let parts = [
        &[("a.fit", heart_rates(&[61]), Stored)].map(|(name, file, pack)| (name, file.leak() as &[u8], pack))[..],
        &parts,
    ]
    .concat();
    let (seen, outcome) = try_read(&zip(&parts));
    let Err(Fault::Broken { what, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(what.contains("inflates without bounds"), "{what}");
    assert_eq!(seen.of("heart_rate").len(), 1, "what came before stands");
}

#[test]
fn what_is_encrypted_or_packed_otherwise_is_reported() {
    let one = heart_rates(&[61]);
    let mut file = zip(&[("a.fit", &one, Deflated), ("b.fit", &one, Deflated), ("c.fit", &one, Stored)]);
    file[6] |= 1;
    let second = 30 + 5 + u32::from_le_bytes(file[18..22].try_into().unwrap()) as usize;
    file[second + 8] = 9;
    let seen = read(&file);
    assert_eq!(seen.of("heart_rate").len(), 1);
    assert_eq!(
        [reason::ENCRYPTED, reason::METHOD].map(|reason| seen.example(reason)),
        ["a.fit: not read", "b.fit: not read"]
    );
}

#[test]
fn names_in_reports_are_short_and_plain() {
    let name = format!("{}\u{7}\n.txt", "x".repeat(60_000));
    let seen = read(&zip(&[(&name, b"", Stored)]));
    let example = seen.example(reason::OTHER_FILE);
    assert!(example.len() < 300 && example.ends_with("x.txt: not read"), "{example}");
}

/// A watch's night: asleep for two hours from `second` on.
fn night(second: u32) -> Vec<u8> {
    let mut file = Fit::new();
    file.define(1, 275, &[(253, 4, U32), (0, 1, ENUM)]);
    file.message(1, &[&(MAY + second).to_le_bytes(), &[2]]);
    file.message(1, &[&(MAY + second + 7_200).to_le_bytes(), &[1]]);
    file.file()
}

const SLEEP: &str = r#"[
    {"calendarDate": "2024-05-01", "sleepStartTimestampGMT": "2024-04-30T23:00:00.0", "sleepEndTimestampGMT":
        "2024-05-01T06:30:00.0", "deepSleepSeconds": 3600, "lightSleepSeconds": 14400, "remSleepSeconds": 5400,
        "awakeSleepSeconds": 600, "unknown": {"deep": [1, 2]}, "napList": [{"a": 1}]},
    {"calendarDate": "2024-05-02", "sleepStartTimestampGMT": "2024-05-01T23:00:00.0", "sleepEndTimestampGMT":
        1714631400000, "deepSleepSeconds": 3600, "lightSleepSeconds": 3600, "remSleepSeconds": null},
    {"calendarDate": "2024-05-03", "sleepWindowConfirmationType": "UNCONFIRMED"}
]"#;

const DAYS: &str = r#"[
    {"calendarDate": "2024-05-01", "wellnessStartTimeGmt": "2024-04-30T22:00:00.0", "wellnessStartTimeLocal":
        "2024-05-01T00:00:00.0", "totalSteps": 5459, "totalKilocalories": 2252.5},
    {"calendarDate": "2024-05-02", "wellnessStartTimeGmt": "2024-05-02T05:00:00.0", "wellnessStartTimeLocal":
        "2024-05-02T07:00:00.0", "activeKilocalories": 99.0, "bmrKilocalories": 2153.0},
    {"calendarDate": "2024-05-03", "totalSteps": 1},
    {"calendarDate": "2024-05-04", "totalSteps": null}
]"#;

const STATUS: &str = r#"[
    {"calendarDate": "2024-05-01", "metrics": [{"type": "HRV", "value": 42.0}, {"type": "HR", "value": 50}, {"type": "SPO2"}]},
    {"calendarDate": "2024-05-09", "metrics": [{"type": "HRV", "value": 43}]}
]"#;

#[test]
fn an_accounts_export_has_its_nights_days_and_watch_files() {
    let uploaded = zip(&[
        ("sleep.fit", &night(0), Streamed),
        ("later.fit", &night(30 * 86_400), Streamed),
        ("run.fit", &heart_rates(&[61]), Streamed),
    ]);
    let file = zip(&[
        ("DI_CONNECT/DI-Connect-Uploaded-Files/UploadedFiles_0-_Part1.zip", &uploaded, Streamed),
        ("DI_CONNECT/DI-Connect-Wellness/2024-01-01_2024-06-01_1_healthStatusData.json", STATUS.as_bytes(), Streamed),
        ("DI_CONNECT/DI-Connect-Wellness/2024-01-01_2024-06-01_1_sleepData.json", SLEEP.as_bytes(), Streamed),
        ("DI_CONNECT/DI-Connect-Aggregator/UDSFile_2024-01-01_2024-06-01.json", DAYS.as_bytes(), Streamed),
    ]);
    let seen = read(&file);
    assert_eq!(
        seen.found,
        [
            "heart_rate 61 at 2024-05-01T00:00:00Z of garmin-2-3",
            "sleep_duration 6.5 at 2024-05-01T06:30:00Z",
            "sleep_deep 1 at 2024-05-01T06:30:00Z",
            "sleep_rem 1.5 at 2024-05-01T06:30:00Z",
            "sleep_duration 2 at 2024-05-02T06:30:00Z",
            "sleep_deep 1 at 2024-05-02T06:30:00Z",
            "steps 5459 from 2024-04-30T22:00:00Z",
            "calories 2252.5 from 2024-04-30T22:00:00Z",
            "calories 2252 from 2024-05-01T22:00:00Z",
            "sleep_duration 2 at 2024-05-31T02:00:00Z of garmin-2-3",
            "sleep_deep 0 at 2024-05-31T02:00:00Z of garmin-2-3",
            "sleep_rem 0 at 2024-05-31T02:00:00Z of garmin-2-3",
            "hrv 42 at 2024-05-01T06:30:00Z"
        ]
    );
    let counts = [reason::SLEEP_IN_ACCOUNT, reason::NAP, reason::INCOMPLETE, reason::AVERAGE, reason::NO_NIGHT]
        .map(|reason| seen.count(reason));
    assert_eq!(counts, [1, 1, 2, 1, 1]);
}

#[test]
fn broken_json_keeps_the_entries_before_the_break() {
    let cut = &DAYS.as_bytes()[..DAYS.len() - 40];
    let seen = read(&zip(&[("UDSFile_1.json", cut, Deflated), ("UDSFile_2.json", b"[{]", Deflated)]));
    assert_eq!(seen.found.len(), 3);
    let (count, example) = &seen.skipped[reason::BROKEN_FILE];
    assert_eq!(*count, 2);
    assert!(example.starts_with(&format!("UDSFile_1.json: broken at byte {}: EOF", cut.len())), "{example}");
}

#[test]
fn when_the_sink_wants_no_more_nothing_more_comes() {
    let file = zip(&[("a.fit", &heart_rates(&[61, 62, 63]), Stored), ("sleep.fit", &night(0), Stored)]);
    let mut seen = Seen { found_max: Some(2), ..Seen::default() };
    let outcome = super::super::read(Cursor::new(&file), &mut seen);
    assert!(matches!(outcome, Err(Fault::Stopped(_))), "{outcome:?}");
    assert_eq!(seen.found.len(), 2);
}
