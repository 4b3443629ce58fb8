//! What happens beside the load: progress, memory, and which Parquet files come and go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::Result;
use crate::process::Server;
use crate::traffic::Progress;

/// How often the folder and the process are looked at. A Parquet file lives longer: it is merged with others of its
/// kind first, and stays for the snapshots that see it.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Every Parquet file that was ever seen in a data directory, with its size: what was written, beside what is left.
#[derive(Debug, Default)]
pub(crate) struct ParquetFiles {
    bytes_by_path: Mutex<BTreeMap<PathBuf, u64>>,
}

impl ParquetFiles {
    /// Looks once.
    pub(crate) fn look(&self, data_dir: &Path) {
        let mut folders = vec![data_dir.join("points")];
        while let Some(folder) = folders.pop() {
            // A folder may not be there yet, a file may vanish while we look.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.metadata() {
                    Ok(found) if found.is_dir() => folders.push(path),
                    Ok(found) if is_parquet(&path) => {
                        if let Ok(mut seen) = self.bytes_by_path.lock() {
                            let bytes = seen.entry(path).or_default();
                            *bytes = found.len().max(*bytes);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Number of files and their bytes, of all that were ever seen.
    pub(crate) fn written(&self) -> (usize, u64) {
        self.bytes_by_path.lock().map_or((0, 0), |seen| (seen.len(), seen.values().sum()))
    }
}

/// Whether a path is a Parquet file's.
pub(crate) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// Memory of the server over time: seconds since the start, bytes.
pub(crate) type Memory = Vec<(f64, u64)>;

/// Runs `work`; beside it looks at the folder and the process, and draws a progress bar of `points_total`.
pub(crate) fn beside<T: Send>(
    server: &Server,
    data_dir: Option<&Path>,
    files: &ParquetFiles,
    progress: &Progress,
    points_total: u64,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Memory)> {
    let bar = ProgressBar::new(points_total);
    if let Ok(style) = ProgressStyle::with_template("  {bar:40} {human_pos} of {human_len} points, {per_sec}, {eta}") {
        bar.set_style(style);
    }
    let is_over = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut memory = Memory::new();
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK_INTERVAL);
                bar.set_position(progress.points());
                if let Some(data_dir) = data_dir {
                    files.look(data_dir);
                }
                if let Ok(usage) = server.usage() {
                    memory.push((start.elapsed().as_secs_f64(), usage.rss_bytes));
                }
            }
            memory
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        let memory = looker.join().map_err(|_| "the looking thread panicked")?;
        bar.finish_and_clear();
        Ok((done?, memory))
    })
}
