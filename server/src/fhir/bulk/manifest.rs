//! What there is of an export that is done: its files, those that who asks may read at the moment.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{KEPT_US, Part};
use crate::access::export::{self, Granted};
use crate::auth::Principal;
use crate::control;
use crate::control::entities::bulk_job;
use crate::control::repository::bulk;
use crate::fhir::answer::Base;
use crate::state::AppState;

/// Files that one statement lists.
const PAGE_ROWS: u64 = 1_000;

/// When an export's files go.
pub fn expires_us(job: &bulk_job::Model) -> Option<i64> {
    job.ended_at.map(|ended_at| ended_at.saturating_add(KEPT_US))
}

/// The manifest.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn of(state: &AppState, job: &bulk_job::Model, principal: &Principal, base: &Base) -> control::Result<Value> {
    let control = state.control.read();
    let granted: HashMap<String, Granted> = if job.scope == "own" {
        HashMap::new()
    } else {
        export::all(control, &job.user_id, state.clock.now_us()).await?
    };
    let may_see = |patient_id: &str, part: Part| {
        let is_own = job.scope == "own" && patient_id == job.user_id;
        principal.may_see(part.resource()) && (is_own || super::work::allows(granted.get(patient_id), part))
    };
    let (mut output, mut after) = (Vec::new(), 0);
    loop {
        let page = bulk::files(control, &job.id, after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for file in page {
            let Some(part) = Part::parse(&file.part).filter(|part| may_see(&file.patient_id, *part)) else { continue };
            let url = format!("{}/$export-file/{}/{}", base.0, job.id, file.seq);
            output.push(json!({"type": part.resource().as_str(), "url": url, "count": file.resources}));
        }
    }
    Ok(json!({
        "transactionTime": engine::time::format(job.created_at),
        "request": job.request,
        "requiresAccessToken": true,
        "output": output,
        "error": [],
    }))
}
