//! `Provenance`: read, search by target.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::observation::{Current, current};
use crate::access::Visitor;
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer, check_form, versioned};
use crate::fhir::outcome::Failure;
use crate::fhir::provenance;
use crate::fhir::search::IDS_MAX;
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::parameter::{GENERAL, Handling, PROVENANCE, Parameters};
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
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    let names = PROVENANCE.map(|parameter| parameter.name);
    let raw = raw.unwrap_or_default();
    let parameters = Parameters::read(&[raw.as_bytes()], &[&names, &GENERAL], Handling::of(&headers))?;
    check_form(parameters.one("_format")?, &headers)?;
    let mut bundle = Bundle::new();
    let mut total = 0;
    for id in targets(&parameters, &base)? {
        match current(&state, &visitor, &id).await {
            Ok(observation) => {
                let (id, resource) = of(&observation)?;
                bundle.resource(&base, ("Provenance", &id), "match", resource.to_string().as_bytes());
                total += 1;
            }
            // What one may not see is not found, there or not.
            Err(Failure::Issues(StatusCode::NOT_FOUND, _)) => {}
            Err(Failure::Api(error)) if error.status() == StatusCode::FORBIDDEN => {}
            Err(error) => return Err(error),
        }
    }
    let link = format!("{}/Provenance?{}", base.0, parameters.to_query());
    Ok(answer(bundle.finish(&[("self", link)], Some(total))))
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
