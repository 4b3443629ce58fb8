//! `Provenance`: read, search by target.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::entry::{Sent, own_link};
use super::observation::{Current, current};
use crate::access::Visitor;
use crate::auth::Resource;
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer, versioned};
use crate::fhir::outcome::Failure;
use crate::fhir::provenance;
use crate::fhir::search::IDS_MAX;
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::parameter::Parameters;
use crate::fhir::search::parse::is_count_alone;
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

/// Those of some observations.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    sent: Sent,
) -> Result<Response, Failure> {
    let parameters = sent.parameters(&PROVENANCE)?;
    let with_target = parameters.brings("_include", "Provenance:target");
    if with_target {
        visitor.principal().require_resource(Resource::Observation).map_err(ApiError::from)?;
    }
    let (mut bundle, is_counted) = (Bundle::new(), is_count_alone(&parameters)?);
    let mut observations = Vec::new();
    for id in targets(&parameters, &base)? {
        match current(&state, &visitor, &id).await {
            Ok(observation) => {
                let (id, resource) = of(&observation)?;
                if !is_counted {
                    bundle.resource(&base, ("Provenance", &id), "match", resource.to_string().as_bytes());
                }
                observations.push((id, observation));
            }
            // What one may not see is not found, there or not.
            Err(Failure::Issues(StatusCode::NOT_FOUND, _)) => {}
            Err(Failure::Api(error)) if error.status() == StatusCode::FORBIDDEN => {}
            Err(error) => return Err(error),
        }
    }
    let total = observations.len();
    for (id, observation) in observations.iter().filter(|_| with_target && !is_counted) {
        let observed = provenance::observation_id(id).unwrap_or_default();
        bundle.resource(&base, ("Observation", observed), "include", &observation.body);
    }
    Ok(answer(bundle.finish(&[("self", own_link(&base, &PROVENANCE, &parameters))], Some(total))))
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
