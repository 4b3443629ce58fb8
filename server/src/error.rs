//! What a client is told when a request cannot be answered: one type from handler to status.
//!
//! The body is `{"detail": "text"}`, or for faults of the input `{"detail": [{"loc", "msg", "type"}]}`. What went wrong
//! inside stays inside: [`ApiError::internal`] keeps the cause for the log, which [`crate::middleware`] writes once,
//! with the request's id.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::error::{Bound, Place};
use engine::{ErrorKind, Fault, FaultKind, Loc};
use serde_json::{Value, json};

/// Most faults that one answer lists.
pub const FAULTS_MAX: usize = engine::error::FAULTS_MAX;

/// Seconds after which a client may try again when a budget is used up for now.
const OVERLOADED_RETRY_S: u32 = 1;

/// Seconds after which a client may try again when a person has to look first.
const UNAVAILABLE_RETRY_S: u32 = 30;

/// An answer that is not the one asked for.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    detail: Detail,
    retry_after_s: Option<u32>,
    cause: Option<Arc<str>>,
}

/// What `detail` holds.
#[derive(Debug, Clone)]
enum Detail {
    Text(Cow<'static, str>),
    Faults(Vec<Value>),
}

/// Why a request failed, for the log alone: an extension of the response, taken out before it leaves.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Arc<str>);

/// What an answer that refuses says, as a text or as located faults: an extension of the response, for those who say it in
/// another form.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Value);

impl ApiError {
    /// An error with a status and a text of its own.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: Detail::Text(detail.into()), retry_after_s: None, cause: None }
    }

    /// 400: the request is not what HTTP allows.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401, with `WWW-Authenticate`: nobody we know.
    pub fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: no such thing.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: the state does not allow it.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: more bytes than the limit named.
    pub fn too_large(what: &str, bytes_max: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} is longer than {bytes_max} bytes"))
    }

    /// 422: the input has faults, each located. Lists the first [`FAULTS_MAX`].
    pub fn validation(faults: &[Fault]) -> Self {
        let faults = faults.iter().take(FAULTS_MAX).map(fault_json).collect();
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: Detail::Faults(faults),
            retry_after_s: None,
            cause: None,
        }
    }

    /// As [`Self::validation`], with the fields of the body that the operation does not have.
    pub fn validation_with_unknown(faults: &[Fault], unknown: impl IntoIterator<Item = String>) -> Self {
        let unknown = unknown.into_iter().map(|name| {
            let name: String = name.chars().take(64).collect();
            json!({ "loc": ["body", name], "msg": "unknown field", "type": FaultKind::Value.as_str() })
        });
        let mut error = Self::validation(&[]);
        error.detail = Detail::Faults(faults.iter().map(fault_json).chain(unknown).take(FAULTS_MAX).collect());
        error
    }

    /// 422 with a single fault.
    pub fn fault(loc: &[Loc], msg: impl Into<Cow<'static, str>>, kind: FaultKind) -> Self {
        Self::validation(&[Fault { loc: loc.to_vec(), msg: msg.into(), kind }])
    }

    /// 422 for a query parameter that the operation does not have; `known` are those it has.
    pub fn unknown_parameter(name: &str, known: &[&str]) -> Self {
        let mut error = Self::validation(&[]);
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let name: String = name.chars().take(64).collect();
        error.detail = Detail::Faults(vec![json!({
            "loc": ["query", name],
            "msg": format!("unknown parameter; known here: {known}"),
            "type": FaultKind::Value.as_str(),
        })]);
        error
    }

    /// 429, with `Retry-After`.
    pub fn too_many(retry_after_s: u32) -> Self {
        Self::too_many_of("too many requests; wait as long as Retry-After says", retry_after_s)
    }

    /// 429, with `Retry-After`, for who has too many of a thing.
    pub fn too_many_of(detail: impl Into<Cow<'static, str>>, retry_after_s: u32) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        error.retry_after_s = Some(retry_after_s.max(1));
        error
    }

    /// 503, with `Retry-After`: a budget is used up for now.
    pub fn overloaded(detail: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        error.retry_after_s = Some(OVERLOADED_RETRY_S);
        error
    }

    /// 503, with a `Retry-After` of so many seconds: places are taken for a while.
    pub fn busy(detail: impl Into<Cow<'static, str>>, retry_after_s: u32) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        error.retry_after_s = Some(retry_after_s);
        error
    }

    /// 503, with a longer `Retry-After`: not ready until a person has looked.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        error.retry_after_s = Some(UNAVAILABLE_RETRY_S);
        error
    }

    /// 504: the answer took longer than the limit named.
    pub fn timed_out(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// 500. The client learns nothing; the log gets the error and its sources.
    pub fn internal(error: impl std::error::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the log knows more by this answer's X-Request-Id")
            .because(&error)
    }

    /// Keeps `error` and its sources for the log.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        self.cause = Some(text.into());
        self
    }

    /// The text, or the first fault's with the byte of the statement that it is at: for who is not answered in JSON.
    pub fn words(&self) -> String {
        match &self.detail {
            Detail::Text(text) => text.clone().into_owned(),
            Detail::Faults(faults) => {
                let fault = faults.first().unwrap_or(&Value::Null);
                let part = |pointer| fault.pointer(pointer);
                let msg = part("/msg").and_then(Value::as_str).unwrap_or_default();
                match (part("/loc/1").and_then(Value::as_str), part("/loc/2").and_then(Value::as_u64)) {
                    (Some("sql"), Some(at)) => format!("{msg} (at byte {at} of the statement)"),
                    (Some("params"), Some(nth)) => format!("{msg} (parameter {})", nth + 1),
                    _ => msg.to_owned(),
                }
            }
        }
    }

    /// Why, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// A fault as the API writes it.
fn fault_json(fault: &Fault) -> Value {
    let loc: Vec<Value> = fault
        .loc
        .iter()
        .map(|step| match step {
            Loc::Key(key) => Value::from(*key),
            Loc::Index(index) => Value::from(*index),
        })
        .collect();
    json!({ "loc": loc, "msg": fault.msg, "type": fault.kind.as_str() })
}

impl ApiError {
    /// What `detail` holds, for answers that have begun already.
    pub(crate) fn detail(&self) -> Value {
        match &self.detail {
            Detail::Text(text) => Value::from(text.as_ref()),
            Detail::Faults(faults) => Value::from(faults.clone()),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Detail::Text(text) => write!(f, "{}: {text}", self.status),
            Detail::Faults(faults) => write!(f, "{}: {} faults", self.status, faults.len()),
        }
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = match self.detail {
            Detail::Text(text) => Value::from(text),
            Detail::Faults(faults) => Value::from(faults),
        };
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = json!({ "detail": detail }).to_string();
        let mut response = (self.status, json, body).into_response();
        response.extensions_mut().insert(Refused(detail));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="avycenna""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(retry_after_s) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        let kind = error.kind();
        match error {
            engine::Error::Invalid(faults) => Self::validation(&faults),
            // The account went while the points were on their way.
            engine::Error::Storage(storage::Error::Erased { .. }) => crate::auth::AuthError::Invalid.into(),
            engine::Error::UnknownMetric(_) => Self::not_found("no such metric; /api/v1/wearables/metrics lists them"),
            engine::Error::Budget { bound: Bound::Time, what } => {
                Self::timed_out(format!("the query hit its bound: {what}"))
            }
            engine::Error::Budget { bound: Bound::Size, what } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the query hit its bound: {what}"))
            }
            engine::Error::Statement { msg, place } => {
                let loc: &[Loc] = match place {
                    Place::Text => &[Loc::Key("body"), Loc::Key("sql")],
                    Place::Byte(at) => &[Loc::Key("body"), Loc::Key("sql"), Loc::Index(at)],
                    Place::Param(nth) => &[Loc::Key("body"), Loc::Key("params"), Loc::Index(nth)],
                };
                Self::fault(loc, msg, FaultKind::Value)
            }
            error => match kind {
                ErrorKind::Overloaded => {
                    Self::overloaded("too much is waiting to be written; try again in a moment").because(&error)
                }
                ErrorKind::Full => {
                    Self::new(StatusCode::INSUFFICIENT_STORAGE, "the server's disk is full; nothing was stored")
                        .because(&error)
                }
                ErrorKind::Unavailable => {
                    Self::unavailable("the server takes no data at the moment; nothing was stored").because(&error)
                }
                _ => Self::internal(error),
            },
        }
    }
}

impl From<storage::Error> for ApiError {
    fn from(error: storage::Error) -> Self {
        engine::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn parts(error: ApiError) -> (StatusCode, axum::http::HeaderMap, String) {
        let response = error.into_response();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_fault_is_written_with_its_place() {
        let loc = [Loc::Key("body"), Loc::Key("data_points"), Loc::Index(3), Loc::Key("value")];
        let (status, _, body) = parts(ApiError::fault(&loc, "must be a number", FaultKind::Type)).await;
        assert_eq!(status, 422);
        let expected = json!({"detail": [
            {"loc": ["body", "data_points", 3, "value"], "msg": "must be a number", "type": "type_error"}
        ]});
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }

    #[tokio::test]
    async fn at_most_twenty_faults_are_listed() {
        let fault = Fault { loc: vec![Loc::Key("body")], msg: "no".into(), kind: FaultKind::Value };
        let (_, _, body) = parts(ApiError::validation(&vec![fault; 21])).await;
        assert_eq!(body.matches("value_error").count(), 20);
    }

    #[tokio::test]
    async fn refusals_carry_the_header_that_tells_what_to_do() {
        let (_, headers, _) = parts(ApiError::unauthorized("log in")).await;
        assert!(headers.contains_key("www-authenticate"));
        for error in [ApiError::too_many(7), ApiError::overloaded("busy"), ApiError::unavailable("broken")] {
            let (_, headers, _) = parts(error).await;
            assert!(headers.contains_key("retry-after"));
        }
    }

    #[tokio::test]
    async fn an_internal_error_shows_nothing_and_keeps_the_cause_for_the_log() {
        let secret = std::io::Error::other("/var/lib/secret");
        let response = ApiError::internal(secret).into_response();
        assert_eq!(response.extensions().get::<Cause>().unwrap().0.as_ref(), "/var/lib/secret");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }

    #[test]
    fn the_engine_s_kinds_have_their_status() {
        let poisoned = storage::Error::Poisoned { reason: "sync".into() };
        let full = storage::Error::Full { path: "wal".into() };
        let overloaded = storage::Error::Overloaded { what: "the queue", bytes: 1, bytes_max: 1 };
        let corrupt = storage::Error::Corrupt { path: "wal".into(), offset: 0, what: "crc".into() };
        let statuses = [poisoned, full, overloaded, corrupt].map(|error| ApiError::from(error).status().as_u16());
        assert_eq!(statuses, [503, 507, 503, 500]);
        assert_eq!(ApiError::from(engine::Error::UnknownMetric("x".into())).status(), 404);
        let budget = |bound| ApiError::from(engine::Error::Budget { bound, what: "30 s".into() }).status().as_u16();
        assert_eq!([Bound::Time, Bound::Size].map(budget), [504, 413]);
    }
}
