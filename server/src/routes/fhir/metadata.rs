//! `/metadata`: what the FHIR face can do, made from the table that the router is made from.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Interaction, OPERATIONS};
use crate::fhir::answer::{Base, answer};
use crate::fhir::outcome::Failure;
use crate::fhir::render::US_CORE_PATIENT;
use crate::fhir::search::table::{ALL, Along, Parameter, Searchable};
use crate::state::AppState;

/// When the statement last changed.
const DATE: &str = "2026-11-26";

/// The CapabilityStatement. Anybody may read it.
pub(super) async fn read(
    State(state): State<AppState>,
    base: Base,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    let parameters = super::read_parameters(&headers, raw.as_deref(), &["mode"])?;
    if parameters.one("mode")?.is_some_and(|mode| mode != "full") {
        return Err(Failure::value("mode", "must be full"));
    }
    Ok(answer(statement(&state, &base).to_string()))
}

fn statement(state: &AppState, base: &Base) -> Value {
    let root = base.0.strip_suffix(crate::fhir::answer::BASE).unwrap_or_default();
    let mut resources: Vec<Value> = ALL.iter().map(|searchable| resource(state, searchable)).collect();
    resources.push(json!({"type": "Group", "operation": [export_of("group-export")]}));
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "avycenna", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Wearable health data of people who let others read it", "url": base.0},
        "fhirVersion": "4.0.1",
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "security": {
                "cors": false,
                "service": [{"coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR",
                }]}],
                "description": format!("A bearer token or X-API-Key, as in the API ({root}/docs). Whoever asks reads what \
                    is their own, and what its owner has granted them."),
            },
            "resource": resources,
            "compartment": ["http://hl7.org/fhir/CompartmentDefinition/patient"],
        }],
    })
}

/// The profiles that some observations hold.
fn profiles(state: &AppState) -> Vec<&'static str> {
    state.fhir.kinds().iter().filter_map(|kind| kind.profile).collect()
}

fn resource(state: &AppState, searchable: &Searchable) -> Value {
    let kind = searchable.resource;
    let of_kind = || OPERATIONS.iter().filter(|operation| operation.resource == kind);
    let mut codes: Vec<&str> = of_kind()
        .filter(|operation| operation.interaction.definition().is_none())
        .map(|operation| operation.interaction.code())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let mut operations: Vec<(&str, &str)> = of_kind()
        .filter_map(|operation| Some((operation.interaction.code(), operation.interaction.definition()?)))
        .collect();
    operations.sort_unstable();
    operations.dedup();
    let operations: Vec<Value> =
        operations.iter().map(|(name, definition)| json!({"name": name, "definition": definition})).collect();
    let parameters: Vec<Value> = searchable
        .parameters
        .iter()
        .map(|Parameter { name, kind, documentation }| json!({"name": name, "type": kind, "documentation": documentation}))
        .collect();
    // Those that have a version of their own to be read by have them all in their answers too.
    let is_versioned = codes.contains(&Interaction::Vread.code());
    let mut resource = json!({
        "type": kind,
        "profile": format!("http://hl7.org/fhir/StructureDefinition/{kind}"),
        "interaction": codes.iter().map(|code| json!({"code": code})).collect::<Vec<_>>(),
        "versioning": if is_versioned { "versioned" } else { "no-version" },
        "readHistory": false,
        "conditionalRead": if is_versioned { "full-support" } else { "not-supported" },
        "searchParam": parameters,
    });
    if let Some(fields) = resource.as_object_mut() {
        if !operations.is_empty() {
            fields.insert("operation".to_owned(), Value::Array(operations));
        }
        for (name, along) in [("searchInclude", searchable.includes), ("searchRevInclude", searchable.revincludes)] {
            if !along.is_empty() {
                let names = std::iter::once("*").chain(along.iter().map(|Along { name, .. }| *name));
                fields.insert(name.to_owned(), names.map(|name| json!(name)).collect());
            }
        }
        let profiles = match kind {
            "Observation" => profiles(state),
            "Patient" => vec![US_CORE_PATIENT],
            _ => Vec::new(),
        };
        if !profiles.is_empty() {
            fields.insert("supportedProfile".to_owned(), json!(profiles));
        }
        if kind == "Patient" {
            fields.insert("operation".to_owned(), json!([export_of("patient-export")]));
        }
    }
    resource
}

/// `$export`, by the definition of Bulk Data.
fn export_of(definition: &str) -> Value {
    json!({"name": "export", "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{definition}")})
}
