//! What an operation is asked by: what stands behind the `?`, and the Parameters of a `POST`.

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::outcome::Failure;
use crate::error::ApiError;

/// What a body asks more than one of by naming it again. In a query each of them would narrow the answer.
const LISTS: [&str; 2] = ["category", "code"];

/// The parameters of an operation as pairs of texts, those of the query first.
///
/// # Errors
/// 400 for a body that is no Parameters, and for a parameter that stands in both; 415.
pub fn pairs(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let said = of_body(headers, body)?;
    if let Some((name, _)) = said.iter().find(|(name, _)| pairs.iter().any(|(other, _)| other == name)) {
        return Err(Failure::value(name, "stands in the query and in the body"));
    }
    pairs.extend(said);
    Ok(pairs)
}

/// What a Parameters resource says; nothing where the body is empty.
fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/fhir+json" && kind != "application/json" {
        let what = "the body is Parameters as application/fhir+json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what).into());
    }
    let malformed = || Failure::value("Parameters", "must be a Parameters resource");
    let body: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    if body.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(malformed());
    }
    let list = match body.get("parameter") {
        None => &[],
        Some(Value::Array(list)) => list.as_slice(),
        Some(_) => return Err(malformed()),
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for one in list {
        let name = one.get("name").and_then(Value::as_str).ok_or_else(malformed)?;
        let fields = one.as_object().ok_or_else(malformed)?;
        let mut values = fields.iter().filter(|(key, _)| key.starts_with("value"));
        // What has no value that can be read is empty, which nothing that is known may be.
        let value = values.next().and_then(|(_, value)| text_of(value)).unwrap_or_default();
        match pairs.iter_mut().find(|(other, _)| other == name && LISTS.contains(&name)) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => pairs.push((name.to_owned(), value)),
        }
    }
    Ok(pairs)
}

/// A value as a query would say it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_so) => Some(is_so.to_string()),
        Value::Object(fields) => {
            if let Some(codings) = fields.get("coding").and_then(Value::as_array) {
                let tokens: Option<Vec<String>> = codings.iter().map(|one| token_of(one.as_object()?)).collect();
                return Some(tokens?.join(","));
            }
            let reference = fields.get("reference").and_then(Value::as_str).map(escaped);
            reference.or_else(|| token_of(fields))
        }
        Value::Null | Value::Array(_) => None,
    }
}

/// A Coding as a token.
fn token_of(coding: &Map<String, Value>) -> Option<String> {
    let text = |field: &str| coding.get(field).and_then(Value::as_str).map(escaped);
    match (text("system"), text("code")) {
        (Some(system), code) => Some(format!("{system}|{}", code.unwrap_or_default())),
        (None, code) => code,
    }
}

/// A text in which no comma parts anything.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,")
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;

    fn read(query: &str, parameters: &Value) -> Result<Vec<(String, String)>, u16> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/fhir+json".parse().unwrap())]);
        let body = json!({"resourceType": "Parameters", "parameter": parameters});
        pairs(query, &headers, body.to_string().as_bytes()).map_err(|failure| failure.into_response().status().as_u16())
    }

    #[test]
    fn values_of_a_body_are_read_as_a_query_says_them() {
        let loinc = |code: &str| json!({"system": "http://loinc.org", "code": code});
        for (value, expected) in [
            (json!({"valueString": "8867-4,mood"}), "8867-4,mood"),
            (json!({"valuePositiveInt": 3}), "3"),
            (json!({"valueBoolean": true}), "true"),
            (json!({"valueCoding": loinc("8867-4")}), "http://loinc.org|8867-4"),
            (json!({"valueCoding": {"code": "a,b\\"}}), "a\\,b\\\\"),
            (json!({"valueCoding": {"system": "urn:avycenna:codes"}}), "urn:avycenna:codes|"),
            (json!({"valueCodeableConcept": {"coding": [loinc("1"), {"code": "2"}]}}), "http://loinc.org|1,2"),
            (json!({"valueReference": {"reference": "Patient/usr-1"}}), "Patient/usr-1"),
            (json!({"valuePeriod": {"start": "2026"}}), ""),
            (json!({"part": []}), ""),
        ] {
            let mut parameter = value.clone();
            parameter["name"] = json!("x");
            assert_eq!(read("", &json!([parameter])), Ok(vec![("x".to_owned(), expected.to_owned())]), "{value}");
        }
    }

    #[test]
    fn a_body_is_json_by_either_name_and_nothing_else() {
        let body = br#"{"resourceType": "Parameters", "parameter": [{"name": "max", "valuePositiveInt": 2}]}"#;
        let of = |kind: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            pairs("", &headers, body).map_err(|failure| failure.into_response().status().as_u16())
        };
        for kind in
            ["application/json", "Application/FHIR+json; charset=utf-8", "application/fhir+json;fhirVersion=4.0"]
        {
            assert_eq!(of(kind), Ok(vec![("max".to_owned(), "2".to_owned())]), "{kind}");
        }
        for kind in ["application/fhir+xml", "text/json", "application/x-www-form-urlencoded", "json", ""] {
            assert_eq!(of(kind), Err(415), "{kind}");
        }
    }

    #[test]
    fn codes_that_are_named_one_by_one_are_a_list_and_nothing_else_is() {
        let of = |name: &str, value: &str| json!({"name": name, "valueString": value});
        let found = read("tz=UTC", &json!([of("code", "a"), of("max", "1"), of("code", "b"), of("max", "2")]));
        let expected = [("tz", "UTC"), ("code", "a,b"), ("max", "1"), ("max", "2")];
        assert_eq!(found.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let found = read("", &json!([of("category", "a"), of("code", "x"), of("category", "b,c")]));
        let expected = [("category", "a,b,c"), ("code", "x")];
        assert_eq!(found.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read("code=a", &json!([of("code", "a")])), Err(400), "in both");
        assert_eq!(read("code=a&code=b", &json!([])).unwrap().len(), 2, "a query stays what it is");
    }
}
