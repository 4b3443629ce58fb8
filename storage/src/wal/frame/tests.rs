//! Frames come back as they were, and nothing else comes back at all.

use proptest::prelude::*;

use super::*;
use crate::wal::tests::{batch, names};

const SALT: u32 = 0xdead_beef;

fn sealed(first_seq: u64, batches: &[Arc<PointBatch>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, Seq(first_seq), Seq(first_seq - 1), 1_700_000_000_000, batches, &names()).unwrap();
    seal(&mut bytes, SALT);
    bytes
}

#[expect(clippy::unnecessary_wraps, reason = "the signature that frames ask for")]
fn intern(key: &str) -> Result<MetricId> {
    let index = names().iter().position(|name| name.as_ref() == key).unwrap();
    Ok(MetricId(index.try_into().unwrap()))
}

#[derive(Debug, Clone)]
struct Shape {
    user: u8,
    parts: Vec<(u16, u32)>,
    origins: u16,
    seed: u64,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let parts = proptest::sample::subsequence(vec![0_u16, 1, 2, 3], 1..=4).prop_shuffle();
    let parts = parts.prop_flat_map(|ids| {
        let lens = proptest::collection::vec(1_u32..40, ids.len());
        lens.prop_map(move |lens| ids.iter().copied().zip(lens).collect())
    });
    let shape = (0_u8..5, parts, prop_oneof![1_u16..4, 250_u16..300], any::<u64>())
        .prop_map(|(user, parts, origins, seed)| Shape { user, parts, origins, seed });
    proptest::collection::vec(shape, 1..6)
}

fn build(shape: &Shape) -> Arc<PointBatch> {
    let mut origins = Origins::default();
    for nth in 0..shape.origins {
        let device = (nth % 3 != 0).then(|| "d".repeat(usize::from(nth % 3 - 1)) + &nth.to_string());
        origins.intern(&format!("source {nth}"), device.as_deref()).unwrap();
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for (metric, len) in &shape.parts {
        parts.push(Part { metric: MetricId(*metric), start, end: start + len });
        start += len;
    }
    let mut state = shape.seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 16
    };
    let recorded_at = (0..start).map(|_| next().cast_signed() - (1 << 46)).collect();
    let value = (0..start).map(|_| f64::from_bits(next() << 8)).map(|v| if v.is_finite() { v } else { 0.5 }).collect();
    let origin = (0..start).map(|_| u16::try_from(next() % u64::from(shape.origins)).unwrap()).collect();
    let user = UserId::parse(&format!("usr_0000000{}", shape.user)).unwrap();
    Arc::new(PointBatch::new(user, parts, recorded_at, value, origin, origins).unwrap())
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was(shapes in shapes(), first_seq in 1_u64..1 << 60) {
        let batches: Vec<_> = shapes.iter().map(build).collect();
        let bytes = sealed(first_seq, &batches);
        let frame = decode(&bytes, SALT).unwrap();
        let points: usize = batches.iter().map(|batch| batch.len()).sum();
        prop_assert_eq!((frame.first_seq.0, frame.count), (first_seq, points as u64));
        prop_assert_eq!((frame.synced_through.0, frame.bytes()), (first_seq - 1, bytes.len()));
        prop_assert!(!frame.is_gap && bytes.len().is_multiple_of(ALIGN_BYTES));
        let found = frame.batches(&mut intern).unwrap();
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), batches.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    }

    /// Checksums that hold over nonsense: whoever can write those still cannot make us panic or allocate.
    #[test]
    fn a_body_of_nonsense_is_refused_in_bounds(
        shapes in shapes(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let batches: Vec<_> = shapes.iter().map(build).collect();
        let mut bytes = sealed(1, &batches);
        for (at, byte) in edits {
            let at = HEADER_BYTES + at.index(bytes.len() - HEADER_BYTES);
            bytes[at] = byte;
        }
        seal(&mut bytes, SALT);
        let frame = decode(&bytes, SALT).unwrap();
        let mut ids = 0;
        let found = frame.batches(&mut |_| {
            ids += 1;
            Ok(MetricId(ids))
        });
        if let Ok(found) = found {
            prop_assert_eq!(found.iter().map(|batch| batch.len() as u64).sum::<u64>(), frame.count);
        }
    }

    #[test]
    fn random_bytes_are_no_frame(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), is_magic: bool) {
        if is_magic && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&MAGIC_POINTS);
        }
        prop_assert!(decode(&bytes, SALT).is_err());
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let bytes = sealed(1, &[batch(0, 3)]);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(decode(&damaged, SALT).is_err(), "byte {at} bit {bit}");
        }
        assert!(decode(&bytes[..at], SALT).is_err(), "cut at {at}");
    }
}

#[test]
fn a_frame_of_another_file_is_no_frame() {
    let bytes = sealed(1, &[batch(0, 3)]);
    assert!(matches!(decode(&bytes, SALT + 1), Err(DecodeError::Corrupt(_))));
}

#[test]
fn zeros_are_blank_and_not_damage() {
    assert!(matches!(decode(&[0; 100], SALT), Err(DecodeError::Blank)));
    assert!(matches!(decode(&[0; 10], SALT), Err(DecodeError::Blank)));
    assert!(matches!(decode(b"AVF1", SALT), Err(DecodeError::Torn)));
}

#[test]
fn a_batch_of_five_hundred_takes_less_than_twenty_bytes_a_point() {
    let bytes = sealed(1, &[batch(0, 500), batch(1, 500)]);
    assert!(bytes.len() < 1_000 * 17, "{} bytes", bytes.len());
}

#[test]
fn a_gap_says_how_much_is_lost_and_holds_nothing() {
    let mut bytes = Vec::new();
    encode_gap(&mut bytes, Seq(7), 1 << 40).unwrap();
    seal(&mut bytes, SALT);
    let frame = decode(&bytes, SALT).unwrap();
    assert!(frame.is_gap);
    assert_eq!((frame.first_seq, frame.last_seq()), (Seq(7), Seq(6 + (1 << 40))));
    assert_eq!(frame.batches(&mut intern).unwrap(), []);
}

#[test]
fn a_metric_without_a_name_and_an_empty_group_are_refused() {
    let mut out = Vec::new();
    let mut refuse = |batches: &[Arc<PointBatch>]| encode(&mut out, Seq(1), Seq(0), 0, batches, &[]).is_err();
    assert!(refuse(&[batch(0, 1)]));
    assert!(refuse(&[]));
}
