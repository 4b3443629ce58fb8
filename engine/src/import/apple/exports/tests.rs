//! Exports in archives.

use std::io::Cursor;

use proptest::prelude::*;

use super::super::read;
use super::super::tests::{Seen, export};
use super::*;
use crate::import::archive::tests::{packed, streamed};

const RECORD: &str = "<Record type=\"HKQuantityTypeIdentifierHeartRate\" sourceName=\"W\" unit=\"count/min\" startDate=\"2021-03-01 08:00:00 +0100\" endDate=\"2021-03-01 08:00:00 +0100\" value=\"62\"/>\n";

fn document(records: usize) -> String {
    export(&RECORD.repeat(records))
}

fn seen(archive: &[u8]) -> (Seen, Result<(), Fault>) {
    let mut seen = Seen::default();
    let outcome = read(Cursor::new(archive), &mut seen);
    (seen, outcome)
}

fn words(outcome: &Result<(), Fault>) -> String {
    let Err(error @ (Fault::Broken { .. } | Fault::Foreign { .. })) = outcome else { panic!("{outcome:?}") };
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
                ("__MACOSX/apple_health_export/._export.xml", b"\0"),
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
fn an_export_that_somebody_has_packed_once_more_is_found() {
    let inner = streamed(&[("apple_health_export/export.xml", document(3).as_bytes())]);
    for archive in [packed, streamed] {
        let (seen, outcome) = seen(&archive(&[("Downloads/export.zip", &inner)]));
        outcome.unwrap();
        assert_eq!(seen.found.len(), 3);
    }
    let (seen, outcome) = seen(&packed(&[("export.zip", &inner[..inner.len() / 2])]));
    assert!(
        words(&outcome).contains("no part of the archive") || words(&outcome).contains("export.xml"),
        "{outcome:?}"
    );
    assert!(seen.found.len() < 3);
}

#[test]
fn an_archive_without_an_export_says_so() {
    let mut deep = packed(&[("export.xml", document(1).as_bytes())]);
    for _ in 0..100 {
        deep = packed(&[("export.zip", &deep)]);
    }
    for bytes in [packed(&[]), packed(&[("a.xml", b"<a/>")]), deep] {
        assert!(words(&seen(&bytes).1).starts_with("no part of the archive"));
    }
}

#[test]
fn what_is_of_garmin_is_told_how_it_is_to_be_sent() {
    let inner = packed(&[("1.FIT", b"")]);
    for bytes in [
        packed(&[("photos/a.jpg", b"x"), ("Activity/1.fit", b"")]),
        packed(&[("in.zip", &inner)]),
        packed(&[("DI_CONNECT/DI-Connect-User/user.json", b"{}")]),
        packed(&[("DI-Connect-Wellness\\1_sleepData.json", b"[]")]),
        b"\x0e\x10\0\0\0\0\0\0.FIT\0\0".to_vec(),
    ] {
        let (seen, outcome) = seen(&bytes);
        assert!(seen.found.is_empty());
        assert!(words(&outcome).contains("send it with format=garmin (`avycenna import garmin`)"), "{outcome:?}");
    }
    let both = packed(&[("a.fit", b""), ("export.xml", document(3).as_bytes())]);
    assert!(seen(&both).1.is_ok(), "an export is one, whatever lies beside it");
}

#[test]
fn a_wrong_checksum_is_a_fault_and_what_was_read_stands() {
    let mut bytes = packed(&[("export.xml", document(5).as_bytes())]);
    bytes[14] ^= 1;
    let (seen, outcome) = seen(&bytes);
    assert_eq!(seen.found.len(), 5);
    assert!(words(&outcome).contains("export.xml: its checksum is wrong"), "{outcome:?}");
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
        assert!(words(&outcome).contains("z.gpx") || words(&outcome).contains("the archive ends"), "{outcome:?}");
        let (within, outcome) = seen(&bytes[..part + 1_000]);
        assert!((100..2_000).contains(&within.found.len()), "{}", within.found.len());
        assert!(words(&outcome).contains("a/export.xml"), "{outcome:?}");
    }
}

#[test]
fn a_bomb_is_a_fault_before_it_has_cost_much() {
    let spaces = format!("<HealthData>{}</HealthData>", format!("{}<a/>", " ".repeat(1 << 20)).repeat(160));
    let (_, outcome) = seen(&packed(&[("export.xml", spaces.as_bytes())]));
    let found = words(&outcome);
    assert!(
        found.contains("export.xml: the archive inflates without bounds") || found.contains("1048576 bytes"),
        "{found}"
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    for (place, bits, said) in [(8, 4, "in a way that is not read"), (6, 1, "encrypted")] {
        let mut changed = packed(&[("export.xml", document(1).as_bytes())]);
        changed[place] ^= bits;
        let (seen, outcome) = seen(&changed);
        assert!(seen.skipped[0].1.contains(said), "{:?}", seen.skipped);
        assert!(words(&outcome).contains("no part of the archive"));
    }
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
