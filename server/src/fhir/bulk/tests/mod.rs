//! Exports from outside, and the thread that writes them, a turn at a time.

mod ends;
mod flow;
mod limits;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::work::Worker;
use crate::access::tests::{Header, Person, Stage};
use crate::control::tests::Fixture as Database;

const BASE: &str = "http://fhir.test";

/// What came back.
struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text))
    }

    /// The resources of a file, one a line.
    fn lines(&self) -> Vec<Value> {
        assert_eq!((self.status, &self.headers["content-type"]), (200, &"application/fhir+ndjson".parse().unwrap()));
        assert!(self.text.ends_with('\n'), "{}", self.text);
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn send(stage: &Stage, who: &Header, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let path = if path.starts_with("/fhir") { path.to_owned() } else { format!("/fhir/R4{path}") };
    let mut request = Request::builder().method(method).uri(path).header("host", "fhir.test").header(who.0, &who.1);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = stage.ask(request.body(Body::from(body.to_owned())).unwrap()).await;
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    Reply { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn get(stage: &Stage, who: &Header, path: &str) -> Reply {
    send(stage, who, "GET", path, &[], "").await
}

/// Asks for an export.
async fn ask(stage: &Stage, who: &Header, path: &str) -> Reply {
    send(stage, who, "GET", path, &[("prefer", "respond-async"), ("accept", "application/fhir+json")], "").await
}

/// Asks for an export that must be taken; the URL of its status.
async fn kick_off(stage: &Stage, who: &Header, path: &str) -> String {
    let reply = ask(stage, who, path).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    reply.headers["content-location"].to_str().unwrap().to_owned()
}

/// Lets the thread's work be done, all that there is.
async fn work(stage: &Stage) {
    let state = stage.state.clone();
    let work = move || {
        let mut worker = Worker::new(state);
        while worker.turn().unwrap() {}
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

/// One turn of the thread, as if it had just started; whether it had anything to do.
async fn turn(stage: &Stage) -> bool {
    let state = stage.state.clone();
    tokio::task::spawn_blocking(move || Worker::new(state).turn().unwrap()).await.unwrap()
}

/// The manifest of an export that must be done.
async fn manifest(stage: &Stage, who: &Header, status: &str) -> Value {
    let reply = get(stage, who, status).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// Type and count of each file.
fn outputs(manifest: &Value) -> Vec<(String, u64)> {
    let files = manifest["output"].as_array().unwrap();
    files.iter().map(|file| (file["type"].as_str().unwrap().to_owned(), file["count"].as_u64().unwrap())).collect()
}

fn urls(manifest: &Value) -> Vec<String> {
    let files = manifest["output"].as_array().unwrap();
    files.iter().map(|file| file["url"].as_str().unwrap().to_owned()).collect()
}

/// Every resource of every file, by subject or own id.
async fn resources(stage: &Stage, who: &Header, manifest: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for url in urls(manifest) {
        all.extend(get(stage, who, &url).await.lines());
    }
    all
}

fn ids_of(resources: &[Value], kind: &str) -> Vec<String> {
    let mut ids: Vec<String> = resources
        .iter()
        .filter(|resource| resource["resourceType"] == kind)
        .map(|resource| resource["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

/// Names of all files of exports on the disk.
fn files(stage: &Stage) -> Vec<String> {
    let folder = stage.state.bulk.folder();
    let mut names = Vec::new();
    for job in folder.jobs().unwrap() {
        let root = stage.state.config.storage.data_dir.join("bulk").join(job);
        names.extend(std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names.sort_unstable();
    names
}

/// Somebody with some heart rates and a check-in.
async fn patient(stage: &Stage, name: &str, heart_rates: u32) -> Person {
    let person = stage.patient(name).await;
    for nth in 0..heart_rates {
        stage.heart_rate(&person, 60.0 + f64::from(nth % 100), 1.0 + f64::from(nth)).await;
    }
    stage.check_in(&person, json!({"sleep_hours": 7.5})).await;
    person
}
