//! Archives: of watch files, and the export of an account.

use std::io::Cursor;

use super::super::reason;
use super::sink::Seen;
use super::writer::{ENUM, Fit, MAY, U32, heart_rates};
use crate::import::Fault;
use crate::import::archive::tests::Pack::{Deflated, Stored, Streamed};
use crate::import::archive::tests::zip;

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
    let parts = [
        ("damaged.fit", damaged.as_slice(), Streamed),
        ("in.zip", inner.as_slice(), Streamed),
        ("a.fit", good.as_slice(), Stored),
    ];
    let (seen, outcome) = try_read(&zip(&parts));
    assert_eq!(seen.of("heart_rate").len(), 2 + 1 + 2);
    let (count, example) = &seen.skipped[reason::BROKEN_FILE];
    assert_eq!(*count, 2);
    assert_eq!(
        example,
        &format!("damaged.fit: broken at byte {}: the checksum is wrong: something before this is damaged", place + 1)
    );
    assert!(matches!(&outcome, Err(Fault::Parts { what }) if what == example), "{outcome:?}");
    // The content is whole, and not what the archive says that it is.
    let mut file = zip(&[("a.fit", &good, Stored), ("b.fit", &good, Stored)]);
    file[14] ^= 1;
    let (seen, outcome) = try_read(&file);
    assert_eq!((seen.of("heart_rate").len(), seen.count(reason::BROKEN_FILE)), (4, 1));
    let Err(Fault::Parts { what }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(what, format!("a.fit: broken at byte {}: its checksum is wrong", good.len()));
}

#[test]
fn an_archive_with_nothing_of_garmins_says_so() {
    let nothing = "nothing in the archive can be read as a watch's file (.fit) or an account's export";
    let text = ("a.xml", b"<a/>".as_slice(), Deflated);
    for (parts, change, why) in [
        (&[][..], None, ""),
        (&[text], None, ""),
        (&[text], Some((6, 1)), "; `a.xml` is encrypted"),
        (&[text], Some((8, 9)), "; `a.xml` is compressed in a way that is not read"),
    ] {
        let mut file = zip(parts);
        if let Some((at, byte)) = change {
            file[at] = byte;
        }
        let (seen, outcome) = try_read(&file);
        assert!(seen.found.is_empty());
        let Err(Fault::Foreign { what }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(what, format!("{nothing}{why}"));
    }
    for name in ["x/DI_CONNECT/DI-Connect-User/user_profile.json", "DI-Connect-User\\user_profile.json"] {
        let account = read(&zip(&[(name, b"{}", Stored)]));
        assert_eq!(account.count(reason::OTHER_FILE), 1, "an account that holds nothing for us is none");
    }
}

#[test]
fn an_export_of_apple_health_is_told_how_it_is_to_be_sent() {
    let document = b"<?xml version=\"1.0\"?><!DOCTYPE HealthData [ <!ELEMENT a (b)> ]><HealthData/>".as_slice();
    let in_zip = zip(&[("apple_health_export/导出.XML", document, Deflated), ("broken.zip", b"", Stored)]);
    for file in [document.to_vec(), in_zip.clone(), zip(&[("export.zip", &in_zip, Stored)])] {
        let (_, outcome) = try_read(&file);
        let Err(Fault::Foreign { what }) = outcome else { panic!("{outcome:?}") };
        assert!(what.ends_with("send it with format=apple_health (`avycenna import apple-health`)"), "{what}");
    }
    let both = read(&zip(&[("export.xml", document, Stored), ("a.fit", &heart_rates(&[61]), Stored)]));
    assert_eq!(both.of("heart_rate").len(), 1, "a watch's file is one, whatever lies beside it");
}

#[test]
fn an_archive_inside_of_too_many_is_reported() {
    let (mut file, mut name) = (heart_rates(&[61]), "a.fit");
    for _ in 0..100 {
        file = zip(&[(name, &file, Stored)]);
        name = "a.zip";
    }
    let (seen, outcome) = try_read(&file);
    assert!(seen.found.is_empty());
    assert_eq!(seen.example(reason::TOO_DEEP), "a.zip: a.zip: a.zip: a.zip: 4 archives around it");
    let Err(Fault::Foreign { what }) = outcome else { panic!("{outcome:?}") };
    assert!(what.ends_with("`a.zip: a.zip: a.zip: a.zip` has 4 archives around it and is not read"), "{what}");
}

#[test]
fn a_file_of_json_that_is_too_large_is_reported() {
    let mut json = SLEEP.trim_end().trim_end_matches(']').to_owned();
    json.push_str(&" ".repeat(65 << 20));
    let seen = read(&zip(&[("a_sleepData.json", json.as_bytes(), Deflated), ("a.fit", &heart_rates(&[61]), Stored)]));
    assert_eq!(seen.count(reason::TOO_LARGE), 1);
    assert_eq!((seen.of("sleep_duration").len(), seen.of("heart_rate").len()), (2, 1), "what came before, and behind");
}

#[test]
fn more_nights_than_are_held_back_are_given_at_once() {
    let mut file = Fit::new();
    file.define(1, 275, &[(253, 4, U32), (0, 1, ENUM)]);
    let nights = u32::try_from(super::super::night::HELD_MAX).unwrap() + 1;
    for night in 0..nights {
        for (second, level) in [(0, 2), (3_600, 1)] {
            file.message(1, &[&(MAY + night * 20_000 + second).to_le_bytes(), &[level]]);
        }
    }
    let seen = read(&zip(&[("a.fit", &file.file(), Stored)]));
    let asleep = seen.of("sleep_duration");
    assert_eq!(asleep.len(), nights as usize);
    assert_eq!(asleep[1], "1 at 2024-05-01T01:00:00Z of garmin-2-3", "the first of those that were held back");
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
            "steps 5459 from 2024-04-30T22:00:00Z",
            "calories 2252.5 from 2024-04-30T22:00:00Z",
            "calories 2252 from 2024-05-01T22:00:00Z",
            "sleep_duration 6.5 at 2024-05-01T06:30:00Z",
            "sleep_deep 1 at 2024-05-01T06:30:00Z",
            "sleep_rem 1.5 at 2024-05-01T06:30:00Z",
            "hrv 42 at 2024-05-01T06:30:00Z",
            "sleep_duration 2 at 2024-05-02T06:30:00Z",
            "sleep_deep 1 at 2024-05-02T06:30:00Z",
            "sleep_duration 2 at 2024-05-31T02:00:00Z of garmin-2-3",
        ]
    );
    let nights: Vec<_> = seen.nights.iter().map(|(start, rank, _)| (start.as_str(), *rank)).collect();
    assert_eq!(
        nights,
        [("2024-04-30T23:00:00Z", 0), ("2024-05-01T23:00:00Z", 0), ("2024-05-31T00:00:00Z", 1)],
        "what the account says counts before what a watch wrote"
    );
    let counts = [reason::SLEEP_IN_ACCOUNT, reason::NAP, reason::INCOMPLETE, reason::AVERAGE, reason::NO_NIGHT]
        .map(|reason| seen.count(reason));
    assert_eq!(counts, [1, 1, 2, 1, 1]);
}

#[test]
fn a_night_of_the_account_was_told_when_its_part_of_the_archive_was_written() {
    let mut file = zip(&[("a_sleepData.json", SLEEP.as_bytes(), Stored), ("a.fit", &night(30 * 86_400), Stored)]);
    let told = |file: &[u8]| read(file).nights.into_iter().map(|(_, _, told)| told).collect::<Vec<_>>();
    assert_eq!(told(&file), [None, None, None]);
    file[10..14].copy_from_slice(&[0x2F, 0x3B, 0xA4, 0x58]);
    let written = Some("2024-05-04T07:25:30Z".to_owned());
    assert_eq!(told(&file), [written.clone(), written, None], "what a watch wrote is as old as it is");
}

#[test]
fn a_watchs_night_that_overlaps_one_of_the_account_in_part_is_the_same_night() {
    // The account's ends at 06:30; the watch's lies from 05:30 to 07:30, the other one from 06:30 on.
    for (begin, is_same) in [(5 * 3_600 + 1_800, true), (6 * 3_600 + 1_800, false)] {
        let seen = read(&zip(&[("a.fit", &night(begin), Stored), ("a_sleepData.json", SLEEP.as_bytes(), Stored)]));
        assert_eq!(seen.count(reason::SLEEP_IN_ACCOUNT), u32::from(is_same), "from {begin} on");
    }
}

#[test]
fn broken_json_keeps_the_entries_before_the_break() {
    let cut = &DAYS.as_bytes()[..DAYS.len() - 40];
    let (seen, outcome) = try_read(&zip(&[("UDSFile_1.json", cut, Deflated), ("UDSFile_2.json", b"[{]", Deflated)]));
    assert!(matches!(outcome, Err(Fault::Parts { .. })), "{outcome:?}");
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
