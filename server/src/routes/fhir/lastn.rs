//! `Observation/$lastn`: the newest of each code.

use axum::extract::State;
use axum::response::Response;

use super::entry::Invoked;
use crate::access::Visitor;
use crate::auth::Role;
use crate::fhir::answer::Base;
use crate::fhir::outcome::Failure;
use crate::fhir::search::Sort;
use crate::fhir::search::page::{Asked, Reader};
use crate::fhir::search::parameter::{Handling, Parameters};
use crate::fhir::search::parse::{Reading, is_count_alone};
use crate::fhir::search::table::OBSERVATION;
use crate::state::AppState;

/// Most observations of a code.
const MAX_MAX: usize = 100;

/// What may be asked, as in a search or as Parameters; `max` is how many of each code, 1 unless it is said.
const PARAMETERS: [&str; 8] = ["_include", "_revinclude", "_summary", "category", "code", "max", "patient", "subject"];

/// The newest observations of each code, as a Bundle sorted by code.
pub(super) async fn lastn(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    invoked: Invoked,
) -> Result<Response, Failure> {
    let mut parameters = invoked.parameters(&PARAMETERS)?;
    parameters.check_along(&OBSERVATION, Handling::of(&invoked.headers))?;
    let max = max(&parameters)?;
    let ids = state.fhir.ids(&state.control).await?;
    let principal = visitor.principal();
    let own = (principal.role == Role::Patient).then_some(principal.user);
    let mut search = Reading { kinds: state.fhir.kinds(), ids, base: &base, own }.search(&parameters)?;
    search.sort = Sort::Code;
    search.last_of_code = Some(max);
    // What `_summary=count` wants is not how many there are in all, which is a long look for nothing.
    search.with_total = false;
    // What bounds it is how many codes there are.
    search.count = usize::MAX;
    let link = format!("{}/Observation/$lastn?{}", base.0, parameters.to_query());
    let reader = Reader { state: &state, ids, base: &base, visitor: &visitor };
    let is_counted = is_count_alone(&parameters)?;
    reader.page(Asked { search, after: None, link, is_counted }).await
}

fn max(parameters: &Parameters) -> Result<usize, Failure> {
    let Some(text) = parameters.one("max")? else { return Ok(1) };
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let max = if is_whole { text.parse().unwrap_or(usize::MAX) } else { 0 };
    if max == 0 || max > MAX_MAX {
        return Err(Failure::value("max", format!("must be a whole number, 1 to {MAX_MAX}")));
    }
    Ok(max)
}
