//! Archives as phones, other tools and attackers make them.

use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::super::read;
use super::super::tests::{Seen, export};
use super::*;

const RECORD: &str = "<Record type=\"HKQuantityTypeIdentifierHeartRate\" sourceName=\"W\" unit=\"count/min\" startDate=\"2021-03-01 08:00:00 +0100\" endDate=\"2021-03-01 08:00:00 +0100\" value=\"62\"/>\n";

fn document(records: usize) -> String {
    export(&RECORD.repeat(records))
}

/// Written by the crate `zip`, which is not what reads it.
fn packed(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// As a phone streams it: lengths and checksum behind the content.
fn streamed(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new_stream(Vec::new());
    for (name, content) in parts {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn seen(archive: &[u8]) -> (Seen, Result<(), Fault>) {
    let mut seen = Seen::default();
    let outcome = read(Cursor::new(archive), &mut seen);
    (seen, outcome)
}

fn words(outcome: &Result<(), Fault>) -> String {
    let Err(error @ Fault::Broken { .. }) = outcome else { panic!("{outcome:?}") };
    error.to_string()
}

#[test]
fn the_export_is_found_by_what_it_holds_in_every_language() {
    let clinical = b"<?xml version=\"1.0\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\"/>".as_slice();
    let export = document(3);
    for name in [
        "apple_health_export/export.xml",
        "apple_health_export/Export.xml",
        "导出.xml",
        "exportação/exportar.XML",
        "../../etc/passwd.xml",
    ] {
        for archive in [packed, streamed] {
            let bytes = archive(&[
                ("apple_health_export/export_cda.xml", clinical),
                ("apple_health_export/workout-routes/route.gpx", b"<gpx/>"),
                (name, export.as_bytes()),
                ("apple_health_export/broken.xml", b"<"),
            ]);
            let (seen, outcome) = seen(&bytes);
            outcome.unwrap();
            assert_eq!(seen.found.len(), 3, "{name}");
            assert_eq!(seen.count(UNREADABLE), 1, "{:?}", seen.skipped);
            assert_eq!(seen.reached.last().copied(), u64::try_from(bytes.len()).ok());
        }
    }
}

#[test]
fn an_archive_without_an_export_says_so() {
    for bytes in
        [packed(&[]), packed(&[("a.xml", b"<a/>"), ("export.zip", &packed(&[("export.xml", document(1).as_bytes())]))])]
    {
        assert!(words(&seen(&bytes).1).contains("no part of the archive"));
    }
}

#[test]
fn stored_and_deflated_parts_are_read_and_others_are_named() {
    let export = document(2);
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        archive.start_file("export.xml", options).unwrap();
        archive.write_all(export.as_bytes()).unwrap();
        let (seen, outcome) = seen(&archive.finish().unwrap().into_inner());
        outcome.unwrap();
        assert_eq!(seen.found.len(), 2);
    }
    let whole = packed(&[("export.xml", export.as_bytes())]);
    let entry = whole.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    for (offset, value, said) in [(10, 12, "method 12"), (8, 1, "encrypted")] {
        let mut changed = whole.clone();
        changed[entry + offset] = value;
        let (seen, _) = seen(&changed);
        assert!(seen.skipped[0].1.contains(said), "{:?}", seen.skipped);
    }
}

#[test]
fn a_wrong_checksum_is_a_fault_and_what_was_read_stands() {
    let mut bytes = packed(&[("export.xml", document(5).as_bytes())]);
    let entry = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    bytes[entry + 16] ^= 1;
    let (seen, outcome) = seen(&bytes);
    assert_eq!(seen.found.len(), 5);
    assert!(words(&outcome).contains("export.xml: its checksum is"));
}

#[test]
fn a_cut_archive_gives_what_it_still_holds() {
    let filler: Vec<u8> =
        (0..50_000_u32).flat_map(|index| (index.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect();
    for archive in [packed, streamed] {
        let bytes =
            archive(&[("a/route.gpx", &filler), ("a/export.xml", document(2_000).as_bytes()), ("a/z.gpx", &filler)]);
        let part = bytes.windows(12).position(|window| window == b"a/export.xml").unwrap();
        let (behind, outcome) = seen(&bytes[..bytes.len() - 30_000]);
        assert_eq!(behind.found.len(), 2_000);
        assert!(words(&outcome).contains("z.gpx") || words(&outcome).contains("not complete"), "{outcome:?}");
        let (within, outcome) = seen(&bytes[..part + 1_000]);
        assert!((100..2_000).contains(&within.found.len()), "{}", within.found.len());
        assert!(words(&outcome).contains("a/export.xml"), "{outcome:?}");
    }
}

#[test]
fn a_bomb_is_a_fault_before_it_has_cost_much() {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("export.xml", SimpleFileOptions::default()).unwrap();
    archive.write_all(b"<HealthData>").unwrap();
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..80 {
        archive.write_all(&spaces).unwrap();
        archive.write_all(b"<a/>").unwrap();
    }
    archive.write_all(b"</HealthData>").unwrap();
    let (_, outcome) = seen(&archive.finish().unwrap().into_inner());
    let found = words(&outcome);
    assert!(found.contains("250 times") || found.contains("1048576 bytes"), "{found}");
}

#[test]
fn an_archive_that_claims_too_many_parts_is_refused_before_they_are_read() {
    let mut claims = packed(&[("export.xml", document(1).as_bytes())]);
    let end = claims.len() - 22;
    claims[end + 10..end + 12].copy_from_slice(&500_u16.to_le_bytes());
    assert!(words(&seen(&claims).1).contains("directory"));
    let documents: Vec<String> = (0..=DOCUMENTS_MAX).map(|number| format!("{number}.xml")).collect();
    let parts: Vec<(&str, &[u8])> = documents.iter().map(|name| (name.as_str(), b"<a/>".as_slice())).collect();
    assert!(words(&seen(&packed(&parts)).1).contains("256 parts"));
}

#[test]
fn an_archive_beyond_the_bounds_of_its_first_format_is_read() {
    // The end record says "look at the large one", as it does beyond 4 GiB.
    let whole = packed(&[("export.xml", document(2).as_bytes())]);
    let (body, end) = whole.split_at(whole.len() - 22);
    let at = u32::from_le_bytes(end[16..20].try_into().unwrap());
    let large_at = u64::try_from(body.len()).unwrap();
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(b"PK\x06\x06");
    bytes.extend_from_slice(&44_u64.to_le_bytes());
    bytes.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [1, 1, large_at - u64::from(at), u64::from(at)] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    bytes.extend_from_slice(&large_at.to_le_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    let (seen, outcome) = seen(&bytes);
    outcome.unwrap();
    assert_eq!(seen.found.len(), 2);
}

proptest! {
    #[test]
    fn mutations_and_truncations_of_an_archive_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        is_streamed: bool,
    ) {
        let export = document(3);
        let parts = [("b.gpx", b"<gpx/>".as_slice()), ("export.xml", export.as_bytes())];
        let mut bytes = if is_streamed { streamed(&parts) } else { packed(&parts) };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let (_, outcome) = seen(&bytes);
        prop_assert!(!matches!(outcome, Err(Fault::Io(_))), "{:?}", outcome);
        bytes.truncate(end.index(bytes.len()));
        let (_, outcome) = seen(&bytes);
        prop_assert!(!matches!(outcome, Err(Fault::Io(_))), "{:?}", outcome);
    }
}
