//! An export of Apple Health into what an importer's sink gets, bytes of XML a second, beside Python's expat over the same
//! document; and the same document out of an archive.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use std::fmt::{self, Write as _};
use std::hint::black_box;
use std::io::{Cursor, Write as _};
use std::process::Command;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use engine::import::{Found, Sink, Stop, apple};
use zip::write::{SimpleFileOptions, ZipWriter};

/// Bytes of XML; fewer where the bench is only tried.
const DOCUMENT_BYTES: usize = if cfg!(debug_assertions) { 1_000_000 } else { 50_000_000 };

/// Prints the seconds that expat takes, handing every element with its attributes to a function.
const EXPAT: &str = "
import sys, time, xml.parsers.expat
content = open(sys.argv[1], 'rb').read()
count = 0
def element(name, attributes):
    global count
    count += name == 'Record'
parser = xml.parsers.expat.ParserCreate()
parser.StartElementHandler = element
start = time.perf_counter()
parser.Parse(content, True)
print(time.perf_counter() - start)
";

/// A sink that counts.
#[derive(Debug, Default)]
struct Count(usize);

impl Sink for Count {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        black_box(found);
        self.0 += 1;
        Ok(())
    }

    fn skipped(&mut self, _: &'static str, example: &dyn fmt::Display) {
        black_box(example);
    }

    fn reached(&mut self, bytes: u64) -> Result<(), Stop> {
        black_box(bytes);
        Ok(())
    }
}

/// Records in the shares of an export of some years: types stand together, devices have their addresses, one record in
/// ten is of a type that is not taken.
fn document() -> String {
    let shares = [
        ("HeartRate", "count/min", 4),
        ("ActiveEnergyBurned", "kcal", 3),
        ("StepCount", "count", 2),
        ("FlightsClimbed", "count", 1),
    ];
    let mut out = String::with_capacity(DOCUMENT_BYTES + 4_096);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE HealthData [\n<!ELEMENT Record EMPTY>\n]>\n");
    out.push_str("<HealthData locale=\"de_DE\">\n");
    for (kind, unit, tenths) in shares {
        let end = out.len() + DOCUMENT_BYTES / 10 * tenths;
        let mut index = 0_u32;
        while out.len() < end {
            let (day, hour, minute, second) = (index / 1_440 % 28 + 1, index / 60 % 24, index % 60, index * 7 % 60);
            let month = index / 40_320 % 12 + 1;
            let at = format!("2021-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0100");
            let (value, address) = (index % 120 + 45, 0x28_25c8_0000_u64 + u64::from(index % 97) * 64);
            writeln!(
                out,
                " <Record type=\"HKQuantityTypeIdentifier{kind}\" sourceName=\"Ada’s Apple\u{a0}Watch\" sourceVersion=\"8.1\" device=\"&lt;&lt;HKDevice: {address:#x}&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, software:8.1&gt;\" unit=\"{unit}\" creationDate=\"{at}\" startDate=\"{at}\" endDate=\"{at}\" value=\"{value}\">\n  <MetadataEntry key=\"HKMetadataKeyHeartRateMotionContext\" value=\"1\"/>\n </Record>"
            )
            .expect("memory takes everything");
            index += 1;
        }
    }
    out.push_str("</HealthData>\n");
    out
}

/// Seconds of one run of expat; `None` without Python.
fn expat(path: &std::path::Path) -> Option<Duration> {
    let output = Command::new("python3").args(["-c", EXPAT]).arg(path).output().ok()?;
    let seconds: f64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(Duration::from_secs_f64(seconds))
}

fn import_apple(criterion: &mut Criterion) {
    let document = document();
    let mut group = criterion.benchmark_group("import_apple");
    group.throughput(Throughput::Bytes(document.len() as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(8));

    group.bench_function("export.xml", |bencher| {
        bencher.iter(|| {
            let mut count = Count::default();
            apple::read(Cursor::new(&document), &mut count).expect("a whole export");
            count.0
        });
    });

    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("apple_health_export/export.xml", SimpleFileOptions::default()).expect("a fresh archive");
    archive.write_all(document.as_bytes()).expect("memory takes everything");
    let archive = archive.finish().expect("memory takes everything").into_inner();
    group.bench_function("export.zip", |bencher| {
        bencher.iter(|| {
            let mut count = Count::default();
            apple::read(Cursor::new(&archive), &mut count).expect("a whole export");
            count.0
        });
    });

    let file = tempfile::NamedTempFile::new().expect("a temporary folder");
    std::fs::write(file.path(), &document).expect("a temporary folder");
    if expat(file.path()).is_some() {
        group.bench_function("reference: Python's expat, export.xml", |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| expat(file.path()).expect("it ran before")).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, import_apple);
criterion_main!(benches);
