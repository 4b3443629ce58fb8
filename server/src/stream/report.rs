//! The answer to a stream, as it grows: NDJSON.
//!
//! | line                                                        | means                                                |
//! |-------------------------------------------------------------|------------------------------------------------------|
//! | `{"acked_through":8192}`                                    | everything up to this line is durable, or was skipped |
//! | `{"skipped":{"line":17,"detail":[…]}}`                      | this line is left out (`on_error=skip`)               |
//! | `{"done":true,"lines":…,"ingested":…,"skipped":…}`          | the end: all of the body was read                     |
//! | `{"done":false,"lines":…,…,"stopped":{"line"?,"detail"}}`   | the end: nothing behind `lines` was taken             |
//!
//! A body without one of the last two broke off.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use engine::ingest::stream::LineFault;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::error::ApiError;

/// Lines that are told of when they are skipped; the others are only counted.
pub(super) const SKIPPED_TOLD_MAX: u64 = 1_000;

/// Why a stream ended before its body did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stopped {
    line: Option<u64>,
    detail: Value,
}

impl Stopped {
    /// For a reason of ours.
    pub(super) fn because(detail: &str) -> Self {
        Self { line: None, detail: Value::from(detail) }
    }

    /// As a request of its own would have been refused.
    pub(super) fn of(error: &ApiError) -> Self {
        Self { line: None, detail: error.detail() }
    }

    /// By a line that has faults.
    pub(super) fn at(fault: &LineFault) -> Self {
        Self { line: Some(fault.line), detail: ApiError::validation(&fault.faults).detail() }
    }
}

/// What is to be said and was not yet.
#[derive(Debug, Default)]
struct Pending {
    /// Whole lines, to be said before the acknowledgment.
    lines: Vec<u8>,
    acked: u64,
    acked_said: u64,
    ingested: u64,
    skipped: u64,
    is_ended: bool,
    is_broken: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    news: Notify,
}

/// Writes the answer.
#[derive(Debug)]
pub(super) struct Report {
    shared: Arc<Shared>,
}

/// A report and the body that says it.
pub(super) fn channel() -> (Report, Body) {
    let shared = Arc::<Shared>::default();
    let saying = Arc::clone(&shared);
    let body = stream::try_unfold(saying, |shared| async move {
        let said = loop {
            // A permit is kept for who comes late: no news is missed.
            let news = shared.news.notified();
            if let Some(said) = shared.say()? {
                break said;
            }
            news.await;
        };
        Ok::<_, BrokenOff>((!said.is_empty()).then_some((said, shared)))
    });
    (Report { shared }, Body::from_stream(body))
}

/// The stream's tasks are gone without an end.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke off")]
struct BrokenOff;

impl Shared {
    /// What there is to say, nothing at the end; `None` while there is no news.
    fn say(&self) -> Result<Option<Bytes>, BrokenOff> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.is_broken {
            return Err(BrokenOff);
        }
        let mut said = std::mem::take(&mut pending.lines);
        if pending.acked > pending.acked_said && !pending.is_ended {
            push(&mut said, &json!({ "acked_through": pending.acked }));
            pending.acked_said = pending.acked;
        }
        Ok((!said.is_empty() || pending.is_ended).then(|| said.into()))
    }

    fn note(&self, note: impl FnOnce(&mut Pending)) {
        note(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }
}

impl Report {
    /// Lines that are left out.
    pub(super) fn skipped(&self, faults: &[LineFault]) {
        self.shared.note(|pending| {
            for fault in faults {
                pending.skipped += 1;
                if pending.skipped <= SKIPPED_TOLD_MAX {
                    let detail = ApiError::validation(&fault.faults).detail();
                    push(&mut pending.lines, &json!({ "skipped": { "line": fault.line, "detail": detail } }));
                }
            }
        });
    }

    /// Everything up to `through` is done, and so many points more are durable.
    pub(super) fn acked(&self, through: u64, points: usize) {
        self.shared.note(|pending| {
            pending.acked = through;
            pending.ingested += u64::try_from(points).unwrap_or(u64::MAX);
        });
    }

    /// The end, and why, if the body was not read to its end.
    pub(super) fn end(self, stopped: Option<Stopped>) {
        self.shared.note(|pending| {
            if pending.acked > pending.acked_said {
                push(&mut pending.lines, &json!({ "acked_through": pending.acked }));
            }
            let (lines, ingested, skipped) = (pending.acked, pending.ingested, pending.skipped);
            let mut last =
                json!({ "done": stopped.is_none(), "lines": lines, "ingested": ingested, "skipped": skipped });
            if let Some(Stopped { line, detail }) = stopped
                && let Some(last) = last.as_object_mut()
            {
                let mut stopped = json!({ "detail": detail });
                if let (Some(line), Some(stopped)) = (line, stopped.as_object_mut()) {
                    stopped.insert("line".to_owned(), Value::from(line));
                }
                last.insert("stopped".to_owned(), stopped);
            }
            push(&mut pending.lines, &last);
            pending.is_ended = true;
        });
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.shared.note(|pending| pending.is_broken = !pending.is_ended);
    }
}

fn push(lines: &mut Vec<u8>, line: &Value) {
    lines.extend_from_slice(line.to_string().as_bytes());
    lines.push(b'\n');
}
