//! `Provenance`: read, search by target.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::{Question, Sent, own_link};
use super::observation::{Current, current};
use crate::access::Visitor;
use crate::auth::Resource;
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer, versioned};
use crate::fhir::outcome::Failure;
use crate::fhir::provenance;
use crate::fhir::search::IDS_MAX;
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::link;
use crate::fhir::search::parameter::Parameters;
use crate::fhir::search::parse::{count, is_count_alone};
use crate::fhir::search::table::PROVENANCE;
use crate::state::AppState;

/// The Provenance of one observation; whoever may read that may read this.
pub(super) async fn read(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    let observed = provenance::observation_id(&id).ok_or(Failure::not_found("no such provenance"))?;
    let observation = current(&state, &visitor, observed).await?;
    let (_, resource) = of(&observation)?;
    Ok(versioned(&headers, &observation.version, observation.changed_us, resource.to_string().into_bytes()))
}

fn of(observation: &Current) -> Result<(String, Value), Failure> {
    let body = serde_json::from_slice(&observation.body).map_err(ApiError::internal)?;
    Ok(provenance::of(&body))
}

/// What a link to the next page holds.
#[derive(Debug, Serialize, Deserialize)]
struct NextProvenances {
    /// Ids of the observations that were not looked at yet.
    of: Vec<String>,
    with_target: bool,
    count: usize,
    /// Whether nothing was looked at before.
    is_first: bool,
}

/// Those of some observations.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    sent: Sent,
) -> Result<Response, Failure> {
    let question = sent.read(&PROVENANCE)?;
    let ids = state.fhir.ids(&state.control).await?;
    let (next, own) = match question {
        Question::Page(sealed) => {
            let next: NextProvenances = link::read(ids, &visitor, &sealed)?;
            (next, link::of_sealed(&base, PROVENANCE.resource, &sealed))
        }
        Question::Anew(parameters) => {
            let with_target = parameters.brings("_include", "Provenance:target");
            let count = match (is_count_alone(&parameters)?, parameters.has("_count")) {
                (true, _) => 0,
                (false, true) => count(&parameters)?,
                (false, false) => IDS_MAX,
            };
            let next = NextProvenances { of: targets(&parameters, &base)?, with_target, count, is_first: true };
            (next, own_link(&base, &PROVENANCE, &parameters))
        }
    };
    let NextProvenances { of: mut left, with_target, count, is_first } = next;
    if with_target {
        visitor.principal().require_resource(Resource::Observation).map_err(ApiError::from)?;
    }
    // What nobody is shown is looked at only to be counted.
    let later = left.split_off(if count == 0 { left.len() } else { count.min(left.len()) });
    let found = found(&state, &visitor, &left).await?;
    let mut bundle = Bundle::new();
    for (id, _, provenance) in found.iter().filter(|_| count > 0) {
        bundle.resource(&base, ("Provenance", id), "match", provenance.to_string().as_bytes());
    }
    for (id, observation, _) in found.iter().filter(|_| with_target && count > 0) {
        let observed = provenance::observation_id(id).unwrap_or_default();
        bundle.resource(&base, ("Observation", observed), "include", &observation.body);
    }
    let total = (is_first && later.is_empty()).then_some(found.len());
    let mut links = vec![("self", own)];
    if !later.is_empty() {
        let next = NextProvenances { of: later, with_target, count, is_first: false };
        links.push(("next", link::to((ids, &base, &visitor), PROVENANCE.resource, &next)?));
    }
    Ok(answer(bundle.finish(&links, total)))
}

/// Those of these observations that the visitor may see, with their Provenances and the ids of these.
async fn found(
    state: &AppState,
    visitor: &Visitor,
    observed: &[String],
) -> Result<Vec<(String, Current, Value)>, Failure> {
    let mut found = Vec::new();
    for id in observed {
        match current(state, visitor, id).await {
            Ok(observation) => {
                let (id, provenance) = of(&observation)?;
                found.push((id, observation, provenance));
            }
            // What one may not see is not found, there or not.
            Err(Failure::Issues(StatusCode::NOT_FOUND, _)) => {}
            Err(Failure::Api(error)) if error.status() == StatusCode::FORBIDDEN => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Ids of the observations that every `target` names.
fn targets(parameters: &Parameters, base: &Base) -> Result<Vec<String>, Failure> {
    let id_of = |reference: &str| {
        let relative = reference.strip_prefix(base.0.as_str()).unwrap_or(reference).trim_start_matches('/');
        relative.strip_prefix("Observation/").unwrap_or(relative).to_owned()
    };
    let mut lists: Vec<Vec<String>> =
        parameters.lists("target")?.iter().map(|list| list.iter().map(|value| id_of(value)).collect()).collect();
    let Some(mut first) = lists.pop() else {
        return Err(Failure::required("target", "of which observations? say target=Observation/[id]"));
    };
    first.retain(|id| lists.iter().all(|list| list.contains(id)));
    first.sort_unstable();
    first.dedup();
    if first.len() > IDS_MAX {
        return Err(Failure::value("target", format!("at most {IDS_MAX} observations")));
    }
    Ok(first)
}
