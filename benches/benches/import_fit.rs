//! A watch's activity file into what the sink of an import gets, beside the null of a checksum over the same bytes and
//! the decoder of a crate, `fitparser`, which only makes its list of records and maps nothing.
//!
//! The file: an hour of `record` messages as a watch writes them each second (27 bytes: time, place, distance, speed,
//! heart rate, cadence, temperature, respiration), repeated to the number of records measured.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use std::fmt;
use std::hint::black_box;
use std::io::Cursor;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::import::{Found, Sink, Stop, garmin};

/// Records of a file.
const RECORDS: u32 = 100_000;

/// Fields of a record: number, bytes, base type.
const FIELDS: [(u8, u8, u8); 9] = [
    (253, 4, 0x86),
    (0, 4, 0x85),
    (1, 4, 0x85),
    (5, 4, 0x86),
    (6, 2, 0x84),
    (3, 1, 0x02),
    (4, 1, 0x02),
    (13, 1, 0x01),
    (108, 2, 0x84),
];

/// CRC-16/ARC, a bit at a time.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

fn activity(records: u32) -> Vec<u8> {
    let mut content = vec![0x40, 0, 0, 0, 0, 2, 1, 2, 0x84, 3, 4, 0x8C];
    content.extend([0, 1, 0, 7, 0, 0, 0]);
    content.extend([0x41, 0, 0, 20, 0, 9]);
    content.extend(FIELDS.iter().flat_map(|field| [field.0, field.1, field.2]));
    for second in 0..records {
        let [pulse, cadence, ..] = second.wrapping_mul(2_654_435_761).to_le_bytes();
        content.push(1);
        content.extend((1_083_456_000 + second).to_le_bytes());
        content.extend((600_000_000 + second * 7).to_le_bytes());
        content.extend((100_000_000 + second * 5).to_le_bytes());
        content.extend((second * 300).to_le_bytes());
        content.extend(3_000_u16.to_le_bytes());
        content.extend([100 + pulse % 64, 70 + cadence % 32, 21]);
        content.extend((2_000 + u16::from(pulse)).to_le_bytes());
    }
    let mut file = vec![12, 0x20, 0, 0];
    file.extend(u32::try_from(content.len()).expect("below 4 GiB").to_le_bytes());
    file.extend(b".FIT");
    file.extend(content);
    file.extend(checksum(&file).to_le_bytes());
    file
}

/// Takes everything, and adds it up so that nothing is optimised away.
#[derive(Default)]
struct Sum {
    found: u64,
    total: f64,
    skipped: u64,
}

impl Sink for Sum {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        self.found += 1;
        if let Found::Sample(sample) = found {
            self.total += sample.value;
        }
        Ok(())
    }

    fn skipped(&mut self, _: &'static str, _: &dyn fmt::Display) {
        self.skipped += 1;
    }

    fn reached(&mut self, _: u64) -> Result<(), Stop> {
        Ok(())
    }
}

fn import_fit(criterion: &mut Criterion) {
    let file = activity(RECORDS);
    let mut group = criterion.benchmark_group("import_fit");
    group.throughput(Throughput::Elements(u64::from(RECORDS)));
    group.bench_function("null: sum of the bytes", |bencher| {
        bencher.iter(|| file.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte)));
    });
    group.bench_function("file into the sink", |bencher| {
        bencher.iter(|| {
            let mut sum = Sum::default();
            garmin::read(Cursor::new(&file), &mut sum).expect("a whole file");
            assert_eq!((sum.found, sum.skipped), (2 * u64::from(RECORDS), u64::from(RECORDS)));
            black_box(sum.total)
        });
    });
    group.sample_size(10);
    group.bench_function("fitparser: file into its list", |bencher| {
        bencher.iter(|| fitparser::from_bytes(&file).expect("a whole file").len());
    });
    group.finish();
}

criterion_group!(benches, import_fit);
criterion_main!(benches);
