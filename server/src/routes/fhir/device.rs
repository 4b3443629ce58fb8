//! `Device`: read, search by patient.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use storage::UserId;

use crate::access::{Look, Visitor};
use crate::auth::Role;
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer, check_form};
use crate::fhir::device::{Origin, device, named, origins};
use crate::fhir::id::Ids;
use crate::fhir::outcome::Failure;
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::page::CURSOR;
use crate::fhir::search::parameter::{DEVICE, GENERAL, Handling, Parameters};
use crate::fhir::search::parse::{Reading, count};
use crate::fhir::visit::{Inside, Visit, Wish};
use crate::state::AppState;

const NO_DEVICE: &str = "no such device";

/// What shapes an answer.
const RESULT: [&str; 1] = ["_count"];

/// What a link to the next page holds.
#[derive(Debug, Serialize, Deserialize)]
struct NextDevices {
    devices_of: String,
    source: String,
    device: Option<String>,
    count: usize,
}

/// One device.
pub(super) async fn read(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    let ids = state.fhir.ids(&state.control).await?;
    let (user, mark) = ids.read_device(&id).ok_or(Failure::not_found(NO_DEVICE))?;
    let inside = enter(&state, &visitor, user.as_str()).await?;
    let found = inside.behind(named(&state.engine, state.fhir.kinds(), user, &[mark])).await?;
    let origin = found.first().ok_or(Failure::not_found(NO_DEVICE))?;
    Ok(answer(device(ids, user, origin).to_string()))
}

/// The devices of a patient.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    let names = DEVICE.map(|parameter| parameter.name);
    let raw = raw.unwrap_or_default();
    let parameters =
        Parameters::read(&[raw.as_bytes()], &[&names, &RESULT, &GENERAL, &[CURSOR]], Handling::of(&headers))?;
    check_form(parameters.one("_format")?, &headers)?;
    let ids = state.fhir.ids(&state.control).await?;
    let (user, count, after) = if let Some(sealed) = parameters.one(CURSOR)? {
        if let Some(other) = names.iter().chain(&RESULT).find(|name| parameters.has(name)) {
            return Err(Failure::value(other, "a link to a page says it already"));
        }
        let next = unsealed(ids, &visitor, sealed)?;
        (next.devices_of, next.count, Some(Origin { source: next.source, device: next.device }))
    } else {
        let principal = visitor.principal();
        let own = (principal.role == Role::Patient).then_some(principal.user);
        let reading = Reading { kinds: state.fhir.kinds(), ids, base: &base, own };
        (reading.user(&parameters, None)?, count(&parameters)?, None)
    };
    let inside = enter(&state, &visitor, &user).await?;
    // One more tells that there is more.
    let limit = count.saturating_add(1);
    let kinds = state.fhir.kinds();
    let mut found = inside.behind(origins(&state.engine, kinds, inside.user, after.as_ref(), limit)).await?;
    let is_more = found.len() > count;
    found.truncate(count);
    let mut links = vec![("self", format!("{}/Device?{}", base.0, parameters.to_query()))];
    if let (true, Some(last)) = (is_more, found.last()) {
        links.push(("next", link(ids, &visitor, &base, &user, last, count)?));
    }
    let total = (!is_more && after.is_none()).then_some(found.len());
    Ok(answer(bundle(ids, &base, inside.user, &found).finish(&links, total)))
}

async fn enter(state: &AppState, visitor: &Visitor, user: &str) -> Result<Inside, Failure> {
    let look = Look { what: "fhir_devices", metric: None, range: None };
    Visit::begin(state, visitor, user, Wish::Points, look).await?.enter().await
}

fn bundle(ids: &Ids, base: &Base, user: UserId, found: &[Origin]) -> Bundle {
    let mut bundle = Bundle::new();
    for origin in found {
        let id = ids.of_device(user, origin.mark());
        bundle.resource(base, ("Device", &id), "match", device(ids, user, origin).to_string().as_bytes());
    }
    bundle
}

fn link(ids: &Ids, visitor: &Visitor, base: &Base, user: &str, last: &Origin, count: usize) -> Result<String, Failure> {
    let Origin { source, device } = last.clone();
    let next = NextDevices { devices_of: user.to_owned(), source, device, count };
    let plain = serde_json::to_vec(&next).map_err(ApiError::internal)?;
    Ok(format!("{}/Device?{CURSOR}={}", base.0, ids.seal(visitor.principal().user.as_str(), &plain)))
}

fn unsealed(ids: &Ids, visitor: &Visitor, sealed: &str) -> Result<NextDevices, Failure> {
    let plain = ids.unseal(visitor.principal().user.as_str(), sealed);
    let next = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    next.ok_or_else(|| Failure::value(CURSOR, "not a link of this server for you; take it as it came"))
}
