//! Seeded crashes: random operations on the simulated disk, power lost at every single call, compared with a model.
//!
//! One seed gives one sequence of operations. It is run once to its end to count the disk's calls, then again for each
//! call with the power failing right there. What is found after the restart must be what was acknowledged, plus, of
//! what was under way, a prefix, each operation whole. Then the storage must go on working.

mod model;
mod random;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayAccessor, AsArray, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use futures::TryStreamExt;

pub use self::model::{Model, Operation};
pub use self::random::Random;
use crate::clock::ManualClock;
use crate::config::StorageConfig;
use crate::disk::sim::SimDisk;
use crate::place::Place;
use crate::point::TimeRange;
use crate::search::{Needle, search_unlocked};
use crate::selection::{Columns, Selection, Users};
use crate::store::Storage;
use crate::{Snapshot, schema, verify};

/// Metrics that the simulation uses.
pub const METRICS: [&str; 2] = ["heart_rate", "steps"];

/// What a seed did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations of the sequence.
    pub operations: usize,
    /// Disk calls of the undisturbed run, which is the number of crashes tried.
    pub crashes: u64,
}

/// Budgets so small that a few points rotate files, seal, and split runs.
fn config() -> StorageConfig {
    StorageConfig {
        log_file_bytes: 1 << 16,
        queue_bytes_max: 1 << 20,
        memtable_bytes_max: 1 << 22,
        seal_bytes: 1 << 12,
        level0_files: 2,
        level1_file_bytes: 1 << 16,
        level1_runs: 2,
        background: false,
        ..StorageConfig::default()
    }
}

fn place(disk: &SimDisk) -> Place {
    Place {
        disk: Arc::new(disk.clone()),
        objects: None,
        ledger: None,
        clock: Arc::new(ManualClock::at(1_780_000_000_000_000)),
    }
}

fn open(disk: &SimDisk) -> crate::Result<Storage> {
    let storage = Storage::open(place(disk), config(), Box::new(|_| ()))?;
    for metric in METRICS {
        storage.metric(metric)?;
    }
    Ok(storage)
}

/// Runs one seed: once undisturbed, then with a crash at every `step`-th disk call.
///
/// # Errors
/// A sentence that says at which call and operation what was expected and what was found.
pub fn run(seed: u64, step: u64) -> Result<Outcome, String> {
    let operations = Operation::sequence(seed);
    let disk = SimDisk::new(seed);
    let told =
        play(&disk, &operations, Check::EachOperation).map_err(|error| format!("seed {seed}, undisturbed: {error}"))?;
    if let Some(error) = told.error {
        return Err(format!("seed {seed}, undisturbed: operation {} failed: {error}", told.done));
    }
    let calls = disk.calls();
    let mut call = 1;
    let mut crashes = 0;
    while call <= calls {
        crash_at(seed, call, &operations).map_err(|error| format!("seed {seed}, crash at call {call}: {error}"))?;
        crashes += 1;
        call += step.max(1);
    }
    Ok(Outcome { operations: operations.len(), crashes })
}

/// How far a run came.
struct Told {
    /// Operations that were acknowledged.
    done: usize,
    error: Option<crate::Error>,
}

/// What a run compares with the model while it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Everything, after each operation.
    EachOperation,
    /// Nothing: the same operations were compared in the undisturbed run.
    Nothing,
}

/// Plays operations until one fails.
fn play(disk: &SimDisk, operations: &[Operation], check: Check) -> Result<Told, String> {
    let mut model = Model::default();
    let mut storage = match open(disk) {
        Ok(storage) => storage,
        Err(error) => return Ok(Told { done: 0, error: Some(error) }),
    };
    for (done, operation) in operations.iter().enumerate() {
        let outcome = match operation {
            Operation::Append(batch) => {
                let batch = model::batch(&storage, batch).map_err(|error| error.to_string())?;
                storage.append(batch).and_then(crate::Ticket::wait)
            }
            Operation::Delete { user, metric, times } => storage
                .metric(metric)
                .and_then(|metric| storage.delete(crate::Deletion::Range { user: *user, metric, times: *times })),
            Operation::Erase(user) => storage.delete(crate::Deletion::User(*user)),
            Operation::Flush => storage.flush(),
            Operation::Compact => storage.compact(),
            Operation::Reopen => {
                storage.close();
                match open(disk) {
                    Ok(opened) => {
                        storage = opened;
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match outcome {
            Ok(()) if model.refuses(operation) => {
                return Err(format!("operation {done}: points of an erased user were taken: {operation:?}"));
            }
            Ok(()) => model.apply(operation),
            Err(crate::Error::Erased { .. }) if model.refuses(operation) => {}
            Err(error) => return Ok(Told { done, error: Some(error) }),
        }
        if check == Check::EachOperation
            && let Some(found) = found(&storage.snapshot(), &storage, disk)?
        {
            model.compare(&found).map_err(|error| format!("after operation {done} ({operation:?}): {error}"))?;
        }
        if check == Check::EachOperation && *operation == Operation::Compact {
            traces(disk, &model).map_err(|error| format!("after operation {done}: {error}"))?;
        }
    }
    storage.close();
    Ok(Told { done: operations.len(), error: None })
}

fn crash_at(seed: u64, call: u64, operations: &[Operation]) -> Result<(), String> {
    let disk = SimDisk::new(seed);
    disk.crash_at(call);
    let told = play(&disk, operations, Check::Nothing)?;
    let survivor = disk.crash();
    let storage =
        open(&survivor).map_err(|error| format!("cannot open again after {} operations: {error}", told.done))?;
    let found = found(&storage.snapshot(), &storage, &survivor)?.ok_or("the new disk failed")?;
    let mut model = Model::default();
    for operation in operations.iter().take(told.done) {
        model.apply(operation);
    }
    // The operation under way may have happened or not, but never in part.
    let without = match operations.get(told.done) {
        // Once the ledger names somebody, they are gone.
        Some(Operation::Erase(user)) if storage.is_erased(*user) => Err("the ledger names the user".to_owned()),
        _ => model.compare(&found),
    };
    if let Err(without) = without {
        let Some(under_way) = operations.get(told.done) else {
            return Err(format!("after all {} operations: {without}", told.done));
        };
        model.apply(under_way);
        if let Err(with) = model.compare(&found) {
            return Err(format!(
                "{} operations acknowledged; without the next: {without}; with {under_way:?}: {with}",
                told.done
            ));
        }
    }
    // The rest of a life after a crash costs as much as the crash: each eighth call is enough over all seeds.
    if (seed + call).is_multiple_of(8) { go_on(&storage, &survivor, model) } else { Ok(()) }
}

/// After a recovery everything must still work, and nothing may be damaged.
fn go_on(storage: &Storage, disk: &SimDisk, mut model: Model) -> Result<(), String> {
    let more = Operation::after_a_crash();
    let batch = match &more {
        Operation::Append(batch) => model::batch(storage, batch).map_err(|error| error.to_string())?,
        _ => return Err("the operation after a crash appends".to_owned()),
    };
    storage.append(batch).and_then(crate::Ticket::wait).map_err(|error| format!("append after recovery: {error}"))?;
    model.apply(&more);
    storage.compact().map_err(|error| format!("compact after recovery: {error}"))?;
    let after = found(&storage.snapshot(), storage, disk)?.ok_or("the disk failed")?;
    model.compare(&after).map_err(|error| format!("after recovery and compaction: {error}"))?;
    storage.close();
    traces(disk, &model).map_err(|error| format!("after recovery and compaction: {error}"))?;
    let report = verify::verify(&place(disk)).map_err(|error| format!("verify after recovery: {error}"))?;
    if !report.findings.is_empty() {
        return Err(format!("verify after recovery found {:?}", report.findings));
    }
    Ok(())
}

/// After a compaction nothing on the disk names an erased user: no log, no Parquet, no manifest, no leftover.
fn traces(disk: &SimDisk, model: &Model) -> Result<(), String> {
    let users: Vec<_> = model.erased().iter().map(ToString::to_string).collect();
    let needles: Vec<_> = users.iter().map(|user| Needle::exact(user)).collect();
    let searched = search_unlocked(&place(disk), &needles).map_err(|error| format!("search: {error}"))?;
    match (searched.hits.first(), searched.unreadable.first()) {
        (None, None) => Ok(()),
        (Some(hit), _) => {
            Err(format!("{} is still there: {hit:?}", users.get(hit.needle).cloned().unwrap_or_default()))
        }
        (None, Some(unreadable)) => Err(format!("cannot be decoded: {unreadable:?}")),
    }
}

/// Everything that a snapshot shows; `None` if the power is off.
fn found(snapshot: &Snapshot, storage: &Storage, disk: &SimDisk) -> Result<Option<Vec<model::Row>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for key in METRICS {
        let Ok(metric) = storage.metric(key) else { continue };
        let selection = Selection { metric, users: Users::All, times: TimeRange::ALL };
        let read = snapshot.read(selection, Columns::ALL).try_collect::<Vec<_>>();
        let batches = match runtime.block_on(async { tokio::time::timeout(Duration::MAX, read).await }) {
            Ok(Ok(batches)) => batches,
            Ok(Err(_)) if disk.is_off() => return Ok(None),
            Ok(Err(error)) => return Err(format!("read of {key}: {error}")),
            Err(elapsed) => return Err(elapsed.to_string()),
        };
        for batch in &batches {
            append_rows(key, batch, &mut rows).ok_or("a batch has other columns than the schema")?;
        }
    }
    Ok(Some(rows))
}

fn append_rows(key: &'static str, batch: &arrow::array::RecordBatch, rows: &mut Vec<model::Row>) -> Option<()> {
    let text = |column: usize| batch.column(column).as_dictionary_opt::<Int32Type>();
    let users = text(schema::USER_ID)?.downcast_dict::<StringArray>()?;
    let sources = text(schema::SOURCE)?.downcast_dict::<StringArray>()?;
    let device_column = text(schema::SOURCE_DEVICE_ID)?;
    let devices = device_column.downcast_dict::<StringArray>()?;
    let times = batch.column(schema::RECORDED_AT).as_primitive_opt::<TimestampMicrosecondType>()?;
    let values = batch.column(schema::VALUE).as_primitive_opt::<Float64Type>()?;
    let corrected = batch.column(schema::CORRECTED).as_boolean_opt()?;
    for row in 0..batch.num_rows() {
        rows.push(model::Row {
            user: users.value(row).to_owned(),
            metric: key,
            recorded_at: times.value(row),
            source: sources.value(row).to_owned(),
            device: device_column.is_valid(row).then(|| devices.value(row).to_owned()),
            value: values.value(row),
            is_corrected: corrected.value(row),
        });
    }
    Some(())
}

#[cfg(test)]
mod tests;
