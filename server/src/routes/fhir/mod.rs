//! The FHIR face, below [`BASE`]: one table of what can be done, which the router and the CapabilityStatement are made from.
//!
//! FHIR describes itself by `/metadata`; these operations are not in the OpenAPI description.

mod bulk;
mod code_system;
mod device;
mod entry;
mod lastn;
mod metadata;
mod observation;
mod patient;
mod provenance;
mod stats;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get, post};

use crate::fhir::answer::{BASE, check_form};
use crate::fhir::outcome::Failure;
use crate::fhir::search::parameter::{GENERAL, Handling, Parameters};
use crate::state::AppState;

/// What our `$stats` is: HL7's operation of that name makes one Observation of a period, ours one of each local day.
const OWN_STATS: &str = "urn:avycenna:operations:Observation-stats";

/// What a read may say beside [`GENERAL`]. The whole resource is a right answer to each, says R4.
const READ: [&str; 2] = ["_elements", "_summary"];

/// What can be done with a type of resource, in FHIR's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    /// One by its id.
    Read,
    /// One version of one.
    Vread,
    /// Some by what they are.
    Search,
    /// The newest of each code.
    Lastn,
    /// Figures of each day.
    Stats,
    /// What the server can do.
    Capabilities,
}

impl Interaction {
    /// What an operation is, beside reading and searching; `None` for these.
    pub fn definition(self) -> Option<&'static str> {
        match self {
            Self::Lastn => Some("http://hl7.org/fhir/OperationDefinition/Observation-lastn"),
            Self::Stats => Some(OWN_STATS),
            Self::Read | Self::Vread | Self::Search | Self::Capabilities => None,
        }
    }

    /// FHIR's word.
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vread => "vread",
            Self::Search => "search-type",
            Self::Lastn => "lastn",
            Self::Stats => "stats",
            Self::Capabilities => "capabilities",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The type of resource; empty for the server as a whole.
    pub resource: &'static str,
    /// What is done.
    pub interaction: Interaction,
    /// By which method.
    pub method: &'static str,
    /// Below [`BASE`].
    pub path: &'static str,
    route: fn() -> MethodRouter<AppState>,
}

const fn operation(
    resource: &'static str,
    interaction: Interaction,
    (method, path): (&'static str, &'static str),
    route: fn() -> MethodRouter<AppState>,
) -> Operation {
    Operation { resource, interaction, method, path, route }
}

/// Everything that the FHIR face does.
pub const OPERATIONS: [Operation; 23] = [
    operation("", Interaction::Capabilities, ("GET", "/metadata"), || get(metadata::read)),
    operation("CodeSystem", Interaction::Search, ("GET", "/CodeSystem"), || get(code_system::search)),
    operation("CodeSystem", Interaction::Read, ("GET", "/CodeSystem/{id}"), || get(code_system::read)),
    operation("Device", Interaction::Search, ("GET", "/Device"), || get(device::search)),
    operation("Device", Interaction::Search, ("POST", "/Device/_search"), || post(device::search)),
    operation("Device", Interaction::Search, ("GET", "/Patient/{id}/Device"), || get(device::search_of_patient)),
    operation("Device", Interaction::Read, ("GET", "/Device/{id}"), || get(device::read)),
    operation("Observation", Interaction::Search, ("GET", "/Observation"), || get(observation::search)),
    operation("Observation", Interaction::Search, ("POST", "/Observation/_search"), || post(observation::search)),
    operation("Observation", Interaction::Search, ("GET", "/Patient/{id}/Observation"), || {
        get(observation::search_of_patient)
    }),
    operation("Observation", Interaction::Lastn, ("GET", "/Observation/$lastn"), || get(lastn::lastn)),
    operation("Observation", Interaction::Lastn, ("POST", "/Observation/$lastn"), || post(lastn::lastn)),
    operation("Observation", Interaction::Stats, ("GET", "/Observation/$stats"), || get(stats::stats)),
    operation("Observation", Interaction::Stats, ("POST", "/Observation/$stats"), || post(stats::stats)),
    operation("Observation", Interaction::Read, ("GET", "/Observation/{id}"), || get(observation::read)),
    operation("Observation", Interaction::Vread, ("GET", "/Observation/{id}/_history/{version}"), || {
        get(observation::vread)
    }),
    operation("Patient", Interaction::Search, ("GET", "/Patient"), || get(patient::search)),
    operation("Patient", Interaction::Search, ("POST", "/Patient/_search"), || post(patient::search)),
    operation("Patient", Interaction::Read, ("GET", "/Patient/{id}"), || get(patient::read)),
    operation("Patient", Interaction::Vread, ("GET", "/Patient/{id}/_history/{version}"), || get(patient::vread)),
    operation("Provenance", Interaction::Search, ("GET", "/Provenance"), || get(provenance::search)),
    operation("Provenance", Interaction::Search, ("POST", "/Provenance/_search"), || post(provenance::search)),
    operation("Provenance", Interaction::Read, ("GET", "/Provenance/{id}"), || get(provenance::read)),
];

/// The operations.
pub fn router() -> Router<AppState> {
    OPERATIONS.iter().fold(bulk::router(), |router, operation| spelled(router, operation.path, &(operation.route)()))
}

/// Adds a route by every spelling of its path: some clients write `$` as `%24`, and some end a path with a slash.
fn spelled(router: Router<AppState>, path: &str, route: &MethodRouter<AppState>) -> Router<AppState> {
    let mut paths = vec![format!("{BASE}{path}")];
    if path.contains('$') {
        paths.push(format!("{BASE}{}", path.replace('$', "%24")));
    }
    paths
        .iter()
        .fold(router, |router, path| router.route(path, route.clone()).route(&format!("{path}/"), route.clone()))
}

/// Refuses what a read cannot be asked for.
fn check_read(headers: &HeaderMap, raw: Option<&str>) -> Result<(), Failure> {
    read_parameters(headers, raw, &[]).map(drop)
}

/// What stands behind the `?` of a read, of which more may be known.
fn read_parameters(headers: &HeaderMap, raw: Option<&str>, more: &[&str]) -> Result<Parameters, Failure> {
    let raw = raw.unwrap_or_default().as_bytes();
    let parameters = Parameters::read(&[raw], &[&GENERAL, &READ, more], Handling::of(headers))?;
    check_form(parameters.one("_format")?, headers)?;
    parameters.lists("_elements")?;
    match parameters.one("_summary")? {
        None | Some("true" | "text" | "data" | "false") => Ok(parameters),
        Some(_) => Err(Failure::value("_summary", "must be true, text, data or false")),
    }
}

/// Refuses a version that is not the current one: an older one is not kept, another one never was.
fn check_version(asked: &str, current: &str) -> Result<(), Failure> {
    if asked == current {
        return Ok(());
    }
    match (asked.parse::<u64>(), current.parse::<u64>()) {
        (Ok(asked), Ok(current)) if asked < current => Err(Failure::gone("older versions are not kept")),
        _ => Err(Failure::not_found("no such version")),
    }
}
