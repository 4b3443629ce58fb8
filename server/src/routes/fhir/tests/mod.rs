//! The FHIR face from outside: edge, router, database and points in process.

mod access;
mod along;
mod forms;
mod known;
mod many;
mod paging;
mod people;
mod periods;
mod reads;
mod search;
mod smaller;
mod totals;
mod us_core;
mod wrong;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::access::tests::{Header, Person, Stage};

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    /// The resources of a Bundle that were found.
    pub(super) fn matches(&self) -> Vec<&Value> {
        let entries = self.body["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter(|entry| entry["search"]["mode"] == "match").map(|entry| &entry["resource"]).collect()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.matches().iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The link of a relation, below the server's address.
    pub(super) fn link(&self, relation: &str) -> Option<String> {
        let links = self.body["link"].as_array()?;
        let link = links.iter().find(|link| link["relation"] == relation)?;
        Some(link["url"].as_str().unwrap().strip_prefix("http://fhir.test").unwrap().to_owned())
    }

    /// The one issue of an outcome: its code, and the parameter that it names.
    pub(super) fn issue(&self) -> (&str, Option<&str>) {
        assert_eq!(self.body["resourceType"], "OperationOutcome", "{}", self.body);
        let issue = &self.body["issue"][0];
        let parameter = issue["expression"][0].as_str().and_then(|text| text.strip_prefix("http."));
        (issue["code"].as_str().unwrap(), parameter)
    }
}

/// Sends a request below `/fhir/R4`.
pub(super) async fn send(
    stage: &Stage,
    who: Option<&Header>,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let path = if path.starts_with("/fhir") { path.to_owned() } else { format!("/fhir/R4{path}") };
    let mut request = Request::builder().method(method).uri(path).header("host", "fhir.test");
    if let Some((name, value)) = who {
        request = request.header(*name, value);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = stage.ask(request.body(Body::from(body.to_owned())).unwrap()).await;
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    if !bytes.is_empty() {
        assert_eq!(head.headers["content-type"], "application/fhir+json", "{body}");
    }
    Reply { status: head.status.as_u16(), headers: head.headers, body }
}

pub(super) async fn get(stage: &Stage, who: &Header, path: &str) -> Reply {
    send(stage, Some(who), ("GET", path), &[], "").await
}

/// A `GET` that must be answered.
#[track_caller]
pub(super) fn read<'a>(stage: &'a Stage, who: &'a Header, path: &'a str) -> impl Future<Output = Reply> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let reply = get(stage, who, path).await;
        assert_eq!(reply.status, 200, "{place}: {path}: {}", reply.body);
        reply
    }
}

/// Sends points: metric, value, days ago, source.
pub(super) async fn ingest(stage: &Stage, patient: &Person, points: &[(&str, f64, f64, &str)]) {
    let points: Vec<Value> = points
        .iter()
        .map(|(metric, value, ago, source)| {
            let unit = stage.state.engine.catalogue().get(metric).unwrap().unit.clone();
            json!({"metric": metric, "value": value, "unit": unit, "recorded_at": stage.ago(*ago), "source": source})
        })
        .collect();
    for points in points.chunks(500) {
        let (status, body) = stage.post(&patient.key, "/wearables/bulk-ingest", json!({"data_points": points})).await;
        assert_eq!(status, 201, "{body}");
    }
}

/// A patient's id as FHIR has it.
pub(super) fn fhir_id(person: &Person) -> String {
    person.id.replace('_', "-")
}
