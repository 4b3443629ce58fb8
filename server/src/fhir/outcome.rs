//! What a client of the FHIR face is told when a request cannot be answered: an OperationOutcome, whatever refused it.
//!
//! A search says by [`Failure`] which parameter is wrong. What the extractors, the router and the edge refuse in the API's own form is turned into the
//! same on its way out: [`in_fhir`].

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::CONTENT_TYPE;
use crate::access::AccessError;
use crate::error::{ApiError, Refused};

/// Most issues of one answer.
const ISSUES_MAX: usize = crate::error::FAULTS_MAX;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Of FHIR's types of issues.
    pub code: &'static str,
    /// For people.
    pub diagnostics: Cow<'static, str>,
    /// The parameter, if it is one.
    pub parameter: Option<String>,
}

/// Why a request of the FHIR face is not answered.
#[derive(Debug)]
pub enum Failure {
    /// Its own words.
    Issues(StatusCode, Vec<Issue>),
    /// As the API says it; [`in_fhir`] translates it.
    Api(ApiError),
}

impl Failure {
    /// 400: the value of a parameter is not what it can be.
    pub fn value(parameter: &str, diagnostics: impl Into<Cow<'static, str>>) -> Self {
        Self::parameter("value", parameter, diagnostics)
    }

    /// 400: the server does not do what the parameter asks.
    pub fn unsupported(parameter: &str, diagnostics: impl Into<Cow<'static, str>>) -> Self {
        Self::parameter("not-supported", parameter, diagnostics)
    }

    /// 400: a parameter is missing.
    pub fn required(parameter: &str, diagnostics: impl Into<Cow<'static, str>>) -> Self {
        Self::parameter("required", parameter, diagnostics)
    }

    fn parameter(code: &'static str, parameter: &str, diagnostics: impl Into<Cow<'static, str>>) -> Self {
        let parameter = parameter.chars().take(64).collect();
        let issue = Issue { code, diagnostics: diagnostics.into(), parameter: Some(parameter) };
        Self::Issues(StatusCode::BAD_REQUEST, vec![issue])
    }

    /// 400: it would be too much at once.
    pub fn too_many(diagnostics: impl Into<Cow<'static, str>>) -> Self {
        let issue = Issue { code: "too-costly", diagnostics: diagnostics.into(), parameter: None };
        Self::Issues(StatusCode::BAD_REQUEST, vec![issue])
    }

    /// 404: nothing has this id.
    pub fn not_found(diagnostics: &'static str) -> Self {
        Self::alone(StatusCode::NOT_FOUND, "not-found", diagnostics)
    }

    /// 410: it was there, and is not kept.
    pub fn gone(diagnostics: &'static str) -> Self {
        Self::alone(StatusCode::GONE, "deleted", diagnostics)
    }

    /// 406: the client takes no form that there is, as this parameter or header says.
    pub fn not_acceptable(parameter: &str) -> Self {
        let diagnostics = "answers are application/fhir+json of FHIR 4.0 alone".into();
        let issue = Issue { code: "not-supported", diagnostics, parameter: Some(parameter.to_owned()) };
        Self::Issues(StatusCode::NOT_ACCEPTABLE, vec![issue])
    }

    fn alone(status: StatusCode, code: &'static str, diagnostics: &'static str) -> Self {
        Self::Issues(status, vec![Issue { code, diagnostics: diagnostics.into(), parameter: None }])
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        Self::Api(error.into())
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::Api(error.into())
    }
}

impl From<crate::control::Error> for Failure {
    fn from(error: crate::control::Error) -> Self {
        Self::Api(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Issues(status, issues) => {
                let body = outcome(issues.iter().take(ISSUES_MAX).map(issue_json).collect());
                (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
            }
            Self::Api(error) => error.into_response(),
        }
    }
}

fn issue_json(issue: &Issue) -> Value {
    let mut value = json!({"severity": "error", "code": issue.code, "diagnostics": issue.diagnostics});
    if let (Some(parameter), Some(fields)) = (&issue.parameter, value.as_object_mut()) {
        fields.insert("expression".to_owned(), json!([format!("http.{parameter}")]));
    }
    value
}

fn outcome(issues: Vec<Value>) -> String {
    json!({"resourceType": "OperationOutcome", "issue": Value::Array(issues)}).to_string()
}

/// Whether a path is answered in FHIR's forms.
pub fn is_fhir(path: &str) -> bool {
    path.strip_prefix("/fhir").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An answer of the FHIR face: what the API refused, in FHIR's form; anything else as it is.
pub fn in_fhir(mut response: Response) -> Response {
    let Some(Refused(detail)) = response.extensions_mut().remove() else { return response };
    let status = response.status();
    let issues = match detail {
        Value::Array(faults) => faults.iter().map(|fault| fault_json(status, fault)).collect(),
        detail => {
            let text = detail.as_str().unwrap_or_default();
            vec![json!({"severity": "error", "code": code_of(status), "diagnostics": text})]
        }
    };
    let (mut head, _) = response.into_parts();
    head.headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    let body = outcome(issues);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(head, body.into())
}

/// A located fault of the API.
fn fault_json(status: StatusCode, fault: &Value) -> Value {
    let mut value = json!({"severity": "error", "code": code_of(status), "diagnostics": fault.get("msg")});
    let place = fault.get("loc").and_then(Value::as_array).and_then(|loc| loc.last()).and_then(Value::as_str);
    if let (Some(place), Some(fields)) = (place, value.as_object_mut()) {
        fields.insert("expression".to_owned(), json!([format!("http.{place}")]));
    }
    value
}

/// The type of an issue that a status says.
fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "login",
        403 => "forbidden",
        404 => "not-found",
        405 | 406 | 415 => "not-supported",
        409 | 412 => "conflict",
        410 => "deleted",
        413 | 431 => "too-long",
        422 => "value",
        429 => "throttled",
        408 | 504 => "timeout",
        503 | 507 => "transient",
        500.. => "exception",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn read(response: Response) -> (u16, Value) {
        let status = response.status().as_u16();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/fhir+json");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_named() {
        let (status, body) = read(Failure::value("date", "no such day").into_response()).await;
        let issue =
            json!({"severity": "error", "code": "value", "diagnostics": "no such day", "expression": ["http.date"]});
        assert_eq!((status, body), (400, json!({"resourceType": "OperationOutcome", "issue": [issue]})));
    }

    #[tokio::test]
    async fn what_the_api_refuses_becomes_an_outcome_and_keeps_its_headers() {
        let response = in_fhir(Failure::from(ApiError::too_many(7)).into_response());
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        let (status, body) = read(response).await;
        assert_eq!((status, &body["issue"][0]["code"]), (429, &json!("throttled")));
        let (_, body) = read(in_fhir(ApiError::unknown_parameter("x", &[]).into_response())).await;
        assert_eq!(body["issue"][0]["expression"], json!(["http.x"]));
        let fine = in_fhir("fine".into_response());
        assert_eq!(to_bytes(fine.into_body(), 9).await.unwrap(), "fine");
    }

    #[test]
    fn paths_below_fhir_are_fhir_s() {
        assert!(is_fhir("/fhir") && is_fhir("/fhir/R4/Observation") && is_fhir("/fhir/"));
        assert!(!is_fhir("/fhirx") && !is_fhir("/api/v1/fhir"));
    }
}
