//! Streams: the same points of many people as NDJSON and as Arrow, sent by one pipeline, from the first byte to rest.
//!
//! The points come in groups of [`GROUP_POINTS`] of one person, people in turn, as a pipeline that collects them has
//! them. What is measured is the server's CPU time: the sender shares the cores.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use engine::time::Formatter;
use server::lifelike::{Fleet, Point, render_line};

use super::{Bench, MIB, copy_folder};
use crate::process::{self, Server};
use crate::report::Target::{AtLeast, AtMost, None as NoTarget};
use crate::shared::{self, Shared};
use crate::watch::{ParquetFiles, is_parquet};
use crate::{Result, report::us_per_point};

const PATH: &str = "/api/v1/wearables/stream";
/// Points of one person that stand together.
const GROUP_POINTS: usize = 500;
/// Rows of one record batch, lines of one piece.
const PIECE_POINTS: usize = 8_192;

/// How points are written.
#[derive(Clone, Copy)]
enum Kind {
    Lines,
    Arrow,
}

impl Kind {
    fn phase(self) -> &'static str {
        match self {
            Self::Lines => "stream of NDJSON",
            Self::Arrow => "stream of Arrow",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl Bench<'_> {
    /// Both kinds, each into an empty server.
    pub(super) fn streams(&mut self) -> Result<()> {
        let first = self.data_dir("main");
        let shared = shared::share(&first, "wearables_write")?;
        for (kind, name, per_s) in [(Kind::Lines, "lines", 1_500_000.0), (Kind::Arrow, "arrow", 3_000_000.0)] {
            let data_dir = self.data_dir(name);
            copy_folder(&first, &data_dir)?;
            self.stream(kind, &shared, &data_dir, per_s)?;
        }
        let peak = self.rss_peak_bytes as f64 / MIB;
        self.report.add("memory", "peak of both", peak, "MiB", AtMost(512.0));
        Ok(())
    }

    fn stream(&mut self, kind: Kind, shared: &Shared, data_dir: &Path, per_s_target: f64) -> Result<()> {
        let phase = kind.phase();
        eprintln!("{phase}");
        let server = self.server(data_dir, &[])?;
        let before = server.usage()?;
        let start = Instant::now();
        let sent = send(&server, kind, shared, &self.fleet)?;
        let wall = start.elapsed();
        let loaded = server.usage()?;
        let files = ParquetFiles::default();
        let stopped = server.stop(&|| ())?;
        self.note_memory(stopped);
        let mut compact = self.args.server_command()?;
        compact.arg("compact").arg("--data-dir").arg(data_dir).stdout(std::process::Stdio::null());
        let at_rest = process::run(&mut compact, &|| files.look(data_dir))?;
        self.note_memory(at_rest);
        let during = us_per_point(loaded.cpu.saturating_sub(before.cpu), sent.points);
        let all = us_per_point(stopped.cpu.saturating_sub(before.cpu) + at_rest.cpu, sent.points);
        let bytes = process::disk_bytes(data_dir, &is_parquet)? as f64;
        let report = &mut self.report;
        report.add(phase, "points", sent.points as f64, "", NoTarget);
        report.add(phase, "bytes a point as sent", sent.bytes as f64 / sent.points as f64, "B", NoTarget);
        report.add(
            phase,
            "points a second, sender on the same cores",
            sent.points as f64 / wall.as_secs_f64(),
            "1/s",
            NoTarget,
        );
        report.add(phase, "server CPU a point, until the last acknowledgment", during, "µs", NoTarget);
        report.add(phase, "server CPU a point in all", all, "µs", NoTarget);
        report.add(phase, "durable points a second and core, all in", 1e6 / all, "1/s", AtLeast(per_s_target));
        report.add(phase, "Parquet at rest", bytes / sent.points as f64, "B/point", NoTarget);
        Ok(())
    }
}

struct Sent {
    points: u64,
    bytes: u64,
}

/// Sends everything in one request and reads the answer to its end.
fn send(server: &Server, kind: Kind, shared: &Shared, fleet: &Fleet) -> Result<Sent> {
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_mins(2)))?;
    write!(
        socket,
        "POST {PATH} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n",
        server.address,
        shared.doctor_key,
        kind.content_type(),
    )?;
    let mut sent = Sent { points: 0, bytes: 0 };
    let mut answer = socket.try_clone()?;
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        answer.read_to_string(&mut text).map(|_| text)
    });
    let mut pieces = Pieces::new(kind);
    for_each_group(fleet, shared, |user_id, points| {
        sent.points += points.len() as u64;
        pieces.take(user_id, points);
        if pieces.rows >= PIECE_POINTS {
            sent.bytes += write_chunk(&mut socket, &pieces.cut()?)?;
        }
        Ok(())
    })?;
    sent.bytes += write_chunk(&mut socket, &pieces.finish()?)?;
    socket.write_all(b"0\r\n\r\n")?;
    let answer = reading.join().map_err(|_| "the reader of the answer panicked")??;
    let done = format!("\"done\":true,\"ingested\":{},", sent.points);
    if !answer.contains(&done) {
        let end = answer.len().saturating_sub(400);
        return Err(format!("the stream was answered …{}", answer.get(end..).unwrap_or_default()).into());
    }
    Ok(sent)
}

/// Groups of points, people in turn, until nobody has more.
fn for_each_group(
    fleet: &Fleet,
    shared: &Shared,
    mut take: impl FnMut(&str, &[Point<'_>]) -> Result<()>,
) -> Result<()> {
    // A few people at a time, so that not everybody's points are in memory.
    let people: Vec<u32> = (0..fleet.people()).collect();
    for some in people.chunks(50) {
        let persons: Vec<_> = some.iter().map(|number| (*number, fleet.person(*number))).collect();
        let points: Vec<(&str, Vec<Point<'_>>)> = persons
            .iter()
            .map(|(number, person)| {
                let id = shared.patient_ids.get(*number as usize).map_or("", String::as_str);
                (id, person.points().collect())
            })
            .collect();
        let most = points.iter().map(|(_, points)| points.len()).max().unwrap_or(0);
        for from in (0..most).step_by(GROUP_POINTS) {
            for (id, points) in &points {
                let group = points.get(from..points.len().min(from + GROUP_POINTS)).unwrap_or_default();
                if !group.is_empty() {
                    take(id, group)?;
                }
            }
        }
    }
    Ok(())
}

fn write_chunk(socket: &mut TcpStream, bytes: &[u8]) -> Result<u64> {
    if !bytes.is_empty() {
        write!(socket, "{:x}\r\n", bytes.len())?;
        socket.write_all(bytes)?;
        socket.write_all(b"\r\n")?;
    }
    Ok(bytes.len() as u64)
}

/// The body under way.
struct Pieces {
    rows: usize,
    lines: Vec<u8>,
    times: Formatter,
    arrow: Option<Arrow>,
}

/// Columns under way, and the stream they go to.
#[derive(Default)]
struct Arrow {
    metric: Vec<&'static str>,
    value: Vec<f64>,
    unit: Vec<&'static str>,
    recorded_at: Vec<i64>,
    source: Vec<String>,
    device: Vec<String>,
    user_id: Vec<String>,
    writer: Option<StreamWriter<Vec<u8>>>,
}

impl Pieces {
    fn new(kind: Kind) -> Self {
        let arrow = matches!(kind, Kind::Arrow).then(Arrow::default);
        Self { rows: 0, lines: Vec::new(), times: Formatter::default(), arrow }
    }

    fn take(&mut self, user_id: &str, points: &[Point<'_>]) {
        self.rows += points.len();
        for point in points {
            match &mut self.arrow {
                None => render_line(point, user_id, &mut self.times, &mut self.lines),
                Some(arrow) => arrow.take(user_id, point),
            }
        }
    }

    fn cut(&mut self) -> Result<Vec<u8>> {
        self.rows = 0;
        match &mut self.arrow {
            None => Ok(std::mem::take(&mut self.lines)),
            Some(arrow) => arrow.cut(),
        }
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let mut last = self.cut()?;
        if let Some(Arrow { writer: Some(mut writer), .. }) = self.arrow {
            writer.finish()?;
            last.append(writer.get_mut());
        }
        Ok(last)
    }
}

impl Arrow {
    fn take(&mut self, user_id: &str, point: &Point<'_>) {
        self.metric.push(point.metric);
        self.value.push(point.value);
        self.unit.push(point.unit);
        self.recorded_at.push(point.recorded_at_us);
        self.source.push(point.source.to_owned());
        self.device.push(point.device.to_owned());
        self.user_id.push(user_id.to_owned());
    }

    fn cut(&mut self) -> Result<Vec<u8>> {
        let texts = |texts: &[String]| Arc::new(StringArray::from_iter_values(texts)) as ArrayRef;
        let names = |names: &[&str]| Arc::new(StringArray::from_iter_values(names)) as ArrayRef;
        let times = TimestampMicrosecondArray::from_iter_values(self.recorded_at.iter().copied()).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([
            ("metric", names(&self.metric)),
            ("value", Arc::new(Float64Array::from_iter_values(self.value.iter().copied())) as ArrayRef),
            ("unit", names(&self.unit)),
            ("recorded_at", Arc::new(times) as ArrayRef),
            ("source", texts(&self.source)),
            ("source_device_id", texts(&self.device)),
            ("user_id", texts(&self.user_id)),
        ])?;
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => StreamWriter::try_new(Vec::new(), &batch.schema())?,
        };
        let writer = self.writer.insert(writer);
        writer.write(&batch)?;
        let bytes = std::mem::take(writer.get_mut());
        *self = Self { writer: self.writer.take(), ..Self::default() };
        Ok(bytes)
    }
}
