//! What is asked of an export: by the query of a GET, or by the Parameters of a POST.

use axum::http::HeaderMap;

use crate::auth::Resource;
use crate::fhir::outcome::Failure;
use crate::fhir::search::parameter::Handling;

/// The words for one resource a line, of which there is but one form.
const FORMATS: [&str; 3] = ["application/fhir+ndjson", "application/ndjson", "ndjson"];

/// Most parameters of a request.
const PARAMETERS_MAX: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Types of resources; `None` is all that may be had.
    pub types: Option<Vec<Resource>>,
    /// Only what changed since, microseconds UTC.
    pub since_us: Option<i64>,
    /// `_format`: that of an answer that refuses; files have one of their own.
    pub format: Option<String>,
}

/// Refuses a request that does not say that it will wait: there is no other way to export.
///
/// # Errors
/// 400.
pub fn check_prefer(headers: &HeaderMap) -> Result<(), Failure> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut wishes = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
    if wishes.any(|wish| wish.eq_ignore_ascii_case("respond-async")) {
        return Ok(());
    }
    Err(Failure::required("Prefer", "an export wants the header `Prefer: respond-async`"))
}

/// Reads the parameters of a request, as [`operation::pairs`](crate::fhir::operation::pairs) has them.
///
/// # Errors
/// 400, with the parameter.
pub fn read(pairs: Vec<(String, String)>, handling: Handling) -> Result<Asked, Failure> {
    let (mut asked, mut has_format) = (Asked::default(), false);
    for (nth, (name, value)) in pairs.into_iter().enumerate() {
        if nth >= PARAMETERS_MAX {
            return Err(Failure::value(&name, format!("at most {PARAMETERS_MAX} parameters")));
        }
        match name.as_str() {
            "_format" if asked.format.is_some() => return Err(Failure::value(&name, "is there twice")),
            "_format" => asked.format = Some(value),
            "_pretty" if matches!(value.as_str(), "true" | "false") => {}
            "_pretty" => return Err(Failure::value("_pretty", "must be true or false")),
            "_outputFormat" if has_format => return Err(Failure::value(&name, "is there twice")),
            "_outputFormat" => {
                has_format = true;
                // A `+` that was not escaped arrives as a space.
                if !FORMATS.contains(&value.replace(' ', "+").as_str()) {
                    return Err(Failure::unsupported(&name, "files are application/fhir+ndjson alone"));
                }
            }
            "_since" if asked.since_us.is_some() => return Err(Failure::value(&name, "is there twice")),
            "_since" => {
                let since_us = engine::time::parse(&value.replace(' ', "+"));
                let wrong = || Failure::value("_since", "must be an instant such as 2026-06-01T00:00:00Z");
                asked.since_us = Some(since_us.ok_or_else(wrong)?);
            }
            "_type" => read_types(&value, handling, asked.types.get_or_insert_default())?,
            _ if handling == Handling::Lenient => {}
            _ => return Err(Failure::unsupported(&name, "an export knows _since, _type and _outputFormat")),
        }
    }
    if asked.types.as_ref().is_some_and(Vec::is_empty) {
        return Err(Failure::value("_type", "names nothing that there is: Patient, Observation"));
    }
    Ok(asked)
}

fn read_types(value: &str, handling: Handling, types: &mut Vec<Resource>) -> Result<(), Failure> {
    for name in value.split(',').map(str::trim) {
        match Resource::parse(name).filter(|resource| Resource::EXPORTED.contains(resource)) {
            Some(resource) if types.contains(&resource) => {}
            Some(resource) => types.push(resource),
            None if handling == Handling::Lenient => {}
            None => return Err(Failure::value("_type", "must be of Patient and Observation")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use axum::response::IntoResponse as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::fhir::operation::pairs;

    fn of_query(raw: &str, handling: Handling) -> Result<Asked, Failure> {
        read(pairs(raw, &HeaderMap::new(), b"")?, handling)
    }

    fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Asked, Failure> {
        read(pairs("", headers, body)?, Handling::Strict)
    }

    fn strict(raw: &str) -> Result<Asked, u16> {
        of_query(raw, Handling::Strict).map_err(|failure| failure.into_response().status().as_u16())
    }

    #[test]
    fn a_query_and_parameters_say_the_same() {
        let since_us = engine::time::parse("2026-06-01T00:00:00Z");
        let both = Asked { types: Some(vec![Resource::Observation, Resource::Patient]), since_us, format: None };
        for raw in [
            "_type=Observation,Patient&_since=2026-06-01T02:00:00%2B02:00&_outputFormat=ndjson",
            "_type=Observation&_type=Patient&_since=2026-06-01T02:00:00+02:00&_outputFormat=application/fhir+ndjson",
        ] {
            assert_eq!(strict(raw), Ok(both.clone()), "{raw}");
        }
        assert_eq!(strict(""), Ok(Asked::default()));
        let headers: HeaderMap =
            [(header::CONTENT_TYPE, "application/fhir+json".parse().unwrap())].into_iter().collect();
        let body = json!({"resourceType": "Parameters", "parameter": [
            {"name": "_type", "valueString": "Observation,Patient"},
            {"name": "_since", "valueInstant": "2026-06-01T00:00:00Z"},
        ]});
        let read_body = |body: &Value| of_body(&headers, body.to_string().as_bytes());
        assert_eq!(read_body(&body).unwrap(), both);
        assert_eq!(of_body(&HeaderMap::new(), b"").unwrap(), Asked::default());
        for wrong in [
            json!([]),
            json!({"resourceType": "Patient"}),
            json!({"resourceType": "Parameters", "parameter": 1}),
            json!({"resourceType": "Parameters", "parameter": [{"valueString": "x"}]}),
            json!({"resourceType": "Parameters", "parameter": [{"name": "_since", "valueInteger": 1}]}),
        ] {
            assert!(read_body(&wrong).is_err(), "{wrong}");
        }
        assert!(of_body(&HeaderMap::new(), b"{}").is_err(), "no form that is known");
    }

    #[test]
    fn what_cannot_be_had_is_refused_unless_the_client_is_lenient() {
        for raw in [
            "_outputFormat=text/csv",
            "_outputFormat=ndjson&_outputFormat=ndjson",
            "_format=json&_format=json",
            "_since=2026",
            "_since=yesterday",
            "_since=2026-02-30T00:00:00Z",
            "_since=2026-06-01T00:00:00",
            "_since=&_since=",
            "_type=",
            "_type=Device",
            "_type=Observation,Device",
            "_elements=id",
            "_pretty=maybe",
            "_typeFilter=Observation%3Fcode=x",
            "patient=Patient/1",
            "x=1",
        ] {
            assert_eq!(strict(raw), Err(400), "{raw}");
        }
        assert_eq!(strict(&"_type=Patient&".repeat(33)), Err(400));
        let lenient = |raw: &str| of_query(raw, Handling::Lenient);
        assert_eq!(lenient("_elements=id&x=1&_type=Device,Patient").unwrap().types, Some(vec![Resource::Patient]));
        assert!(lenient("_type=Device").is_err(), "everything would be more than was asked for");
        assert!(lenient("_since=yesterday").is_err());
    }

    #[test]
    fn an_export_wants_the_client_to_wait() {
        let check = |value: &'static str| {
            check_prefer(&[("prefer".parse().unwrap(), value.parse().unwrap())].into_iter().collect::<HeaderMap>())
                .is_ok()
        };
        assert!(check("respond-async") && check("handling=lenient, Respond-Async") && check("respond-async; wait=10"));
        assert!(!check("respond-sync") && !check("handling=lenient") && check_prefer(&HeaderMap::new()).is_err());
    }
}
