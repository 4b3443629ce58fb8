//! `CodeSystem`: our own codes, which anybody may read.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::entry::{Sent, own_link};
use crate::fhir::answer::{Base, answer};
use crate::fhir::kind::{Kinds, OWN};
use crate::fhir::outcome::Failure;
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::parse::{count, is_count_alone};
use crate::fhir::search::table::CODE_SYSTEM;
use crate::state::AppState;

/// Its id: there is one.
const ID: &str = "avycenna";

/// The code system of a name.
pub(super) async fn read(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    if id != ID {
        return Err(Failure::not_found("no such code system"));
    }
    Ok(answer(code_system(state.fhir.kinds()).to_string()))
}

/// The code system of a URL.
pub(super) async fn search(State(state): State<AppState>, base: Base, sent: Sent) -> Result<Response, Failure> {
    let parameters = sent.parameters(&CODE_SYSTEM)?;
    let mut bundle = Bundle::new();
    let is_wanted = parameters.lists("url")?.iter().all(|list| list.iter().any(|url| url == OWN));
    let is_told = !is_count_alone(&parameters)? && count(&parameters)? > 0;
    if is_wanted && is_told {
        let resource = code_system(state.fhir.kinds()).to_string();
        bundle.resource(&base, ("CodeSystem", ID), "match", resource.as_bytes());
    }
    let link = own_link(&base, &CODE_SYSTEM, &parameters);
    Ok(answer(bundle.finish(&[("self", link)], Some(usize::from(is_wanted)))))
}

/// Made from what is observed: a code that an observation can carry is in it.
fn code_system(kinds: &Kinds) -> Value {
    let own = kinds.iter().flat_map(|kind| {
        let codes = kind.codings.iter().filter(|coding| coding.system == OWN);
        codes.map(|coding| json!({"code": coding.code, "display": kind.text}))
    });
    let concepts: Vec<Value> = own.collect();
    json!({
        "resourceType": "CodeSystem",
        "id": ID,
        "url": OWN,
        "version": env!("CARGO_PKG_VERSION"),
        "name": "Avycenna",
        "title": "What avycenna observes and LOINC has no code for",
        "status": "active",
        "experimental": false,
        "description": "A mood, energy and focus are what a person says of themselves from 1, the least, to 5. hrv is \
            the variability of the heart rate as RMSSD, in milliseconds.",
        "caseSensitive": true,
        "content": "complete",
        "count": concepts.len(),
        "concept": concepts,
    })
}
