//! Open storages and engines with generated points in them.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Catalogue, Engine, EngineConfig, JsonBody};
use futures::StreamExt as _;
use server::lifelike::{self, BODY_POINTS, Fleet, Point};
use storage::disk::real::RealDisk;
use storage::{Origins, Part, Place, PointBatch, Storage, StorageConfig, SystemClock, UserId};
use tempfile::TempDir;

/// Begin of the generated 30 days: 2026-05-17T00:00:00Z.
pub const WINDOW_START_US: i64 = WINDOW_END_US - 30 * 86_400_000_000;
/// End of the generated 30 days: 2026-06-16T00:00:00Z.
pub const WINDOW_END_US: i64 = 1_781_568_000_000_000;
/// People of a fixture, unless a bench needs more.
const PEOPLE: u32 = 100;
/// Seed of the generated people.
const SEED: u64 = 7;

/// Whether figures are wanted (`cargo bench`), or only that every bench runs (`cargo test --benches`).
pub fn is_measuring() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// An empty folder next to the running program, which is on a real disk where `/tmp` may not be.
///
/// # Errors
/// The operating system's.
pub fn folder() -> io::Result<TempDir> {
    let program = std::env::current_exe()?;
    let parent = program.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix("avycenna-bench-").tempdir_in(parent)
}

/// An empty folder in memory, where syncs cost nothing; a real one where there is no `/dev/shm`.
///
/// # Errors
/// The operating system's.
pub fn memory_folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("avycenna-bench-").tempdir_in("/dev/shm").or_else(|_| folder())
}

/// The place of a local folder.
fn place(folder: &Path) -> io::Result<Place> {
    Ok(Place {
        disk: Arc::new(RealDisk::open(folder)?),
        objects: None,
        ledger: None,
        clock: Arc::new(SystemClock::default()),
    })
}

/// A storage in `folder` that flushes and compacts only when told to, so that nothing runs beside what is measured.
///
/// # Panics
/// If it cannot be opened.
#[expect(clippy::expect_used, reason = "a bench without its storage can only stop")]
pub fn storage(folder: &Path) -> Storage {
    let config = StorageConfig {
        background: false,
        memtable_bytes_max: 2 << 30,
        seal_bytes: 1 << 30,
        queue_bytes_max: 256 << 20,
        ..StorageConfig::default()
    };
    let place = place(folder).expect("the folder is there");
    Storage::open(place, config, Box::new(|_| {})).expect("the storage opens")
}

/// Person number `index`.
///
/// # Panics
/// Never for an index below 100 million.
#[expect(clippy::expect_used, reason = "eight digits after the prefix are an id")]
pub fn user(index: u32) -> UserId {
    UserId::parse(&format!("usr_{index:08}")).expect("an id")
}

/// The 30 days of `people` people in batches of 500 points, in the order in which a fleet sends them.
///
/// # Panics
/// If the storage refuses a metric.
pub fn batches(storage: &Storage, people: u32) -> Vec<PointBatch> {
    let fleet = Fleet::new(SEED, people, 30, WINDOW_END_US);
    let mut steps: Vec<(usize, PointBatch)> = Vec::new();
    for number in 0..people {
        let person = fleet.person(number);
        let points: Vec<Point<'_>> = person.points().collect();
        for (step, points) in points.chunks(BODY_POINTS).enumerate() {
            steps.push((step, batch(storage, user(number), points)));
        }
    }
    steps.sort_by_key(|(step, _)| *step);
    steps.into_iter().map(|(_, batch)| batch).collect()
}

/// The first body of the first person: 500 points, about 72 kB.
pub fn body() -> Vec<u8> {
    let person = Fleet::new(SEED, 1, 30, WINDOW_END_US).person(0);
    lifelike::bodies(person.points().take(BODY_POINTS), BODY_POINTS).into_iter().next().unwrap_or_default()
}

/// One person's points as a batch, grouped by metric.
#[expect(clippy::expect_used, reason = "generated points keep every invariant, or the bench can only stop")]
fn batch(storage: &Storage, user: UserId, points: &[Point<'_>]) -> PointBatch {
    let mut by_metric: Vec<&Point<'_>> = points.iter().collect();
    by_metric.sort_by_key(|point| point.metric);
    let mut parts = Vec::new();
    let mut origins = Origins::default();
    let mut origin = Vec::new();
    let mut start = 0;
    for group in by_metric.chunk_by(|a, b| a.metric == b.metric) {
        let end = start + u32::try_from(group.len()).expect("a batch is small");
        let key = group.first().map_or("", |point| point.metric);
        parts.push(Part { metric: storage.metric(key).expect("a metric"), start, end });
        start = end;
        for point in group {
            origin.push(origins.intern(point.source, Some(point.device)).expect("few origins"));
        }
    }
    let recorded_at = by_metric.iter().map(|point| point.recorded_at_us).collect();
    let value = by_metric.iter().map(|point| point.value).collect();
    PointBatch::new(user, parts, recorded_at, value, origin, origins).expect("a batch")
}

/// The engine's budgets, as the documentation has them.
fn config() -> EngineConfig {
    EngineConfig {
        storage: StorageConfig::default(),
        catalogue: Catalogue::builtin(),
        latest_cache_bytes: 64 << 20,
        query_memory_bytes: 256 << 20,
        query_time_max: Duration::from_secs(30),
        query_rows_max: 1_000_000,
    }
}

/// An engine with the 30 days of some people in it, everything compacted.
#[derive(Debug)]
pub struct Fixture {
    /// The engine.
    pub engine: Engine,
    /// How many people there are.
    pub people: u32,
    runtime: tokio::runtime::Runtime,
    _folder: TempDir,
}

impl Fixture {
    /// Opens the engine, and fills and compacts it.
    ///
    /// # Panics
    /// If any of it fails.
    pub fn compacted() -> Self {
        Self::compacted_of(PEOPLE)
    }

    /// As [`Self::compacted`], with so many people where it is measured: about 10,000 points each.
    ///
    /// # Panics
    /// If any of it fails.
    #[expect(clippy::expect_used, reason = "a bench without its engine can only stop")]
    pub fn compacted_of(people: u32) -> Self {
        let fixture = Self::empty_of(people);
        for batch in batches(fixture.engine.storage(), fixture.people) {
            fixture.wait(fixture.engine.append(batch)).expect("an acknowledgement");
        }
        fixture.engine.storage().compact().expect("a compaction");
        fixture
    }

    /// Opens the engine, with nothing in it.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn empty() -> Self {
        Self::empty_of(PEOPLE)
    }

    #[expect(clippy::expect_used, reason = "a bench without its engine can only stop")]
    fn empty_of(people: u32) -> Self {
        let people = if is_measuring() { people } else { 2 };
        let folder = folder().expect("a folder");
        let place = place(folder.path()).expect("the folder is there");
        let engine = Engine::open(place, config()).expect("the engine opens");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { engine, people, runtime: runtime.expect("a runtime"), _folder: folder }
    }

    /// Waits for an answer.
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }
}

/// Reads answers to their end.
pub trait Drain {
    /// Length of the whole answer, bytes.
    fn drain(self) -> impl Future<Output = usize>;
}

impl Drain for JsonBody {
    #[expect(clippy::expect_used, reason = "a bench whose answer fails can only stop")]
    async fn drain(self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Stream(mut pieces) => {
                let mut len = 0;
                while let Some(piece) = pieces.next().await {
                    len += piece.expect("a piece").len();
                }
                len
            }
        }
    }
}
