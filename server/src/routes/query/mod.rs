//! `/query`: SQL over one's own rows and those that others let one read.

mod accept;
mod leaving;
pub mod schema;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use engine::Format;
use engine::query::sql::{PARAMS_MAX, Param};
use futures::TryStreamExt as _;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::leaving::leaving;
use self::schema::{NewQuery, Table};
use crate::access::Visitor;
use crate::error::ApiError;
use crate::extract::Payload;
use crate::routes::fields::Fields;
use crate::sql::{Admitted, Question};
use crate::state::AppState;

/// An answer up to about this size is whole before its head leaves, so that what goes wrong has a status.
const WHOLE_BYTES_MAX: usize = 256 << 10;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(query))
}

/// Runs one SQL statement that reads.
///
/// The tables `points`, `latest` and `metrics` hold one's own rows and those of the patients whose grant allows
/// `wearables` or `check_ins`. `$1`, `$2` … in the statement take the values of `params`. The format is that of the body,
/// else what `Accept` prefers, else JSON. Every patient whom the statement can reach gets a record of it. The answer is
/// streamed. If the server cannot go on in the middle (the bound of rows or time, a grant that ends), JSON says so by a last
/// member `error` in place of `row_count`, CSV by a last line, and then the connection breaks.
#[utoipa::path(
    post, path = "/query", tag = "sql",
    request_body = NewQuery,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (
            status = 200, description = "the rows",
            content(
                (Table = "application/json"),
                (String = "text/csv"),
                (Vec<u8> = "application/vnd.apache.arrow.stream"),
                (Vec<u8> = "application/vnd.apache.parquet"),
            )
        ),
        (status = 406, description = "`Accept` names none of the formats"),
        (status = 413, description = "the body is too long, or the query has hit its bound of memory or rows"),
        (status = 422, description = "faults, located: those of the statement by the byte of its text"),
        (status = 429, description = "too many requests, or as many queries of yours are running as one may have"),
        (status = 504, description = "the query has hit its bound of time"),
    )
)]
async fn query(
    visitor: Visitor,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    let (question, format) = parsed(visitor, &headers, &body)?;
    drop(body);
    let Admitted { query, company } = question.ask(&state).await?;
    let mut pieces = Box::pin(company.watched(query.encoded(format)));
    let mut first = Vec::new();
    let mut bytes = 0;
    let mut is_whole = false;
    while bytes < WHOLE_BYTES_MAX && !is_whole {
        match pieces.try_next().await? {
            Some(piece) => {
                bytes += piece.len();
                first.push(piece);
            }
            None => is_whole = true,
        }
    }
    let body = if is_whole { Body::from(first.concat()) } else { Body::from_stream(leaving(format, first, pieces)) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// What a request asks, and in which format.
fn parsed(visitor: Visitor, headers: &HeaderMap, body: &[u8]) -> Result<(Question, Format), ApiError> {
    let mut fields = Fields::parse(body)?;
    let sql = fields.text("sql");
    if sql.trim().is_empty() && !fields.has_fault("sql") {
        fields.refuse("sql", "must be a statement");
    }
    let params = params(&mut fields);
    let word = fields.optional_text("format");
    let format = word.as_deref().map(Format::parse);
    if format == Some(None) {
        fields.refuse("format", "must be `json`, `csv`, `arrow` or `parquet`");
    }
    fields.finish()?;
    let format = match format.flatten() {
        Some(format) => format,
        None => accept::wanted(headers)?,
    };
    Ok((Question { visitor, sql, params }, format))
}

fn params(fields: &mut Fields) -> Vec<Param> {
    let values = fields.optional_values("params").unwrap_or_default();
    if values.len() > PARAMS_MAX {
        fields.refuse("params", format!("must be at most {PARAMS_MAX} values"));
        return Vec::new();
    }
    let mut params = Vec::with_capacity(values.len());
    for (nth, value) in values.into_iter().enumerate() {
        match value {
            Value::Null => params.push(Param::NULL),
            Value::Bool(value) => params.push(value.into()),
            Value::String(value) => params.push(value.into()),
            Value::Number(value) => match (value.as_i64(), value.as_f64()) {
                (Some(value), _) => params.push(value.into()),
                (None, Some(value)) => params.push(value.into()),
                (None, None) => fields.refuse_item("params", nth, "is no number that can be held"),
            },
            Value::Array(_) | Value::Object(_) => {
                fields.refuse_item("params", nth, "must be a string, a number, true, false or null");
            }
        }
    }
    params
}
