//! `Device`: read, search by patient.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use storage::UserId;

use super::entry::{Question, Sent, own_link};
use crate::access::{Look, Visitor};
use crate::auth::{Resource, Role};
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer};
use crate::fhir::device::{Origin, count_origins, device, named, origins};
use crate::fhir::id::Ids;
use crate::fhir::outcome::Failure;
use crate::fhir::render::{patient, patient_id};
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::link;
use crate::fhir::search::parse::{Reading, count, is_count_alone};
use crate::fhir::search::table::DEVICE;
use crate::fhir::visit::{Inside, Visit, Wish};
use crate::state::AppState;

const NO_DEVICE: &str = "no such device";

/// What a link to the next page holds.
#[derive(Debug, Serialize, Deserialize)]
struct NextDevices {
    devices_of: String,
    with_patient: bool,
    count: usize,
    /// The last one of the page before.
    after: Option<Origin>,
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

/// The same in the patient's compartment: `Patient/[id]/Device`.
pub(super) async fn search_of_patient(
    visitor: Visitor,
    state: State<AppState>,
    base: Base,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Failure> {
    search(visitor, state, base, sent.of_patient(&id)).await
}

/// The devices of a patient.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    sent: Sent,
) -> Result<Response, Failure> {
    let question = sent.read(&DEVICE)?;
    let ids = state.fhir.ids(&state.control).await?;
    let (next, own) = match question {
        Question::Page(sealed) => {
            let next: NextDevices = link::read(ids, &visitor, &sealed)?;
            (next, link::of_sealed(&base, DEVICE.resource, &sealed))
        }
        Question::Anew(parameters) => {
            let principal = visitor.principal();
            let own = (principal.role == Role::Patient).then_some(principal.user);
            let devices_of = Reading { kinds: state.fhir.kinds(), ids, base: &base, own }.user(&parameters, None)?;
            let with_patient = parameters.brings("_include", "Device:patient");
            let count = if is_count_alone(&parameters)? { 0 } else { count(&parameters)? };
            let next = NextDevices { devices_of, with_patient, count, after: None };
            (next, own_link(&base, &DEVICE, &parameters))
        }
    };
    let NextDevices { devices_of, with_patient, count, after } = next;
    if with_patient {
        visitor.principal().require_resource(Resource::Patient).map_err(ApiError::from)?;
    }
    let mut inside = enter(&state, &visitor, &devices_of).await?;
    let kinds = state.fhir.kinds();
    if count == 0 {
        let total = inside.behind(count_origins(&state.engine, kinds, inside.user)).await?;
        return Ok(answer(Bundle::new().finish(&[("self", own)], Some(total))));
    }
    // One more tells that there is more.
    let limit = count.saturating_add(1);
    let mut found = inside.behind(origins(&state.engine, kinds, inside.user, after.as_ref(), limit)).await?;
    let is_more = found.len() > count;
    found.truncate(count);
    let mut bundle = bundle(ids, &base, inside.user, &found);
    if with_patient && !found.is_empty() {
        let person = inside.patient(&state).await?;
        bundle.resource(&base, ("Patient", &patient_id(&person.id)), "include", &patient(person));
    }
    let total = (!is_more && after.is_none()).then_some(found.len());
    let mut links = vec![("self", own)];
    if let (true, Some(last)) = (is_more, found.pop()) {
        let next = NextDevices { devices_of, with_patient, count, after: Some(last) };
        links.push(("next", link::to((ids, &base, &visitor), DEVICE.resource, &next)?));
    }
    Ok(answer(bundle.finish(&links, total)))
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
