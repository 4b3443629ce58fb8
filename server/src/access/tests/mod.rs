//! Sharing from outside: edge, router, database and points in process, and people with tokens and keys.

mod erasure;
mod export;
mod life;
mod proof;
mod race;
mod reads;
mod receive;
mod standing;
mod trail;
mod walk;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use engine::{Engine, EngineConfig};
use serde_json::{Value, json};
use storage::disk::sim::SimDisk;
use storage::{ManualClock, Place, StorageConfig};

use crate::auth::{Auth, NewKey, NewUser, Role, Scopes};
use crate::config::Config;
use crate::control::tests::Fixture as Database;
use crate::imports::Imports;
use crate::mail::Mailer;
use crate::middleware::Edge;
use crate::state::AppState;
use crate::webhooks::Webhooks;

const PASSWORD: &str = "correct horse";
/// Longest wait for what happens beside a test.
const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A server in this process.
pub(crate) struct Stage {
    pub(crate) edge: Edge,
    pub(crate) state: AppState,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) database: Database,
    /// What the points are on.
    pub(crate) disk: SimDisk,
}

/// Somebody, and their credentials.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: Header,
    pub(crate) key: Header,
    pub(crate) read_key: Header,
    pub(crate) write_key: Header,
}

/// A credential as a header.
pub(crate) type Header = (&'static str, String);

const READ: Scopes = Scopes { read: true, write: false };
const WRITE: Scopes = Scopes { read: false, write: true };

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::on(Database::new().await).await
    }

    pub(crate) async fn on(database: Database) -> Self {
        Self::with(database, |config| Webhooks::open(config).unwrap()).await
    }

    /// As [`Self::on`], with webhooks that a test has made.
    pub(crate) async fn with(database: Database, webhooks: impl FnOnce(&Config) -> Webhooks) -> Self {
        Self::set_up(database, SimDisk::new(3), |_| {}, webhooks).await
    }

    /// As [`Self::on`], with settings that a test has changed.
    pub(crate) async fn changed(database: Database, change: impl FnOnce(&mut Config)) -> Self {
        Self::set_up(database, SimDisk::new(3), change, |config| Webhooks::open(config).unwrap()).await
    }

    /// The server behind a power failure, on what its disk has kept and on the same database.
    pub(crate) async fn restarted(&self) -> Self {
        let webhooks = |config: &Config| Webhooks::open(config).unwrap();
        Self::set_up(self.database.again().await, self.disk.crash(), |_| {}, webhooks).await
    }

    async fn set_up(
        database: Database,
        disk: SimDisk,
        change: impl FnOnce(&mut Config),
        webhooks: impl FnOnce(&Config) -> Webhooks,
    ) -> Self {
        let mut config = database.config.clone();
        config.limits.enabled = false;
        change(&mut config);
        let storage = StorageConfig { log_file_bytes: 1 << 16, background: false, ..StorageConfig::default() };
        let settings = EngineConfig { storage, ..config.engine().unwrap() };
        let clock = Arc::clone(database.control.clock());
        let place = Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock };
        let engine = tokio::task::spawn_blocking(|| Engine::open(place, settings).unwrap()).await.unwrap();
        let auth = Auth::open_unwatched(&config, database.control.clone()).unwrap();
        let mail = Mailer::open(&config).unwrap();
        let webhooks = webhooks(&config);
        let state = AppState::new(Arc::new(engine), database.control.clone(), auth, Arc::new(config), mail, webhooks);
        let edge = Edge::new(crate::router::router(state.clone()), state.clone());
        Self { edge, state, clock: Arc::clone(&database.clock), database, disk }
    }

    /// As [`Self::on`], with imports that a test has made.
    pub(crate) async fn importing(database: Database, imports: impl FnOnce(&AppState) -> Imports) -> Self {
        let mut stage = Self::on(database).await;
        stage.state.imports = imports(&stage.state);
        stage.rewire();
        stage
    }

    /// Lets requests see what was changed of the state.
    pub(crate) fn rewire(&mut self) {
        self.edge = Edge::new(crate::router::router(self.state.clone()), self.state.clone());
    }

    /// Another process on the database of `stage`.
    pub(crate) async fn with_state_of(stage: &Self) -> Self {
        let database = stage.database.again().await;
        Self::on(database).await
    }

    pub(crate) async fn person(&self, name: &str, role: Role) -> Person {
        let email = format!("{}@example.org", name.to_lowercase().replace(' ', "."));
        let new = NewUser { name: name.to_owned(), email: email.clone(), password: Some(PASSWORD.to_owned()), role };
        let id = self.state.auth.register(new).await.unwrap().id;
        let token = self.state.auth.login(&email, PASSWORD.to_owned()).await.unwrap().access_token;
        let key = async |scopes| {
            let new = NewKey { name: "k".to_owned(), scopes, expires_at: None };
            ("x-api-key", self.state.auth.create_key(&id, new).await.unwrap().1)
        };
        let (key, read_key, write_key) = (key(Scopes::ALL).await, key(READ).await, key(WRITE).await);
        Person { token: ("authorization", format!("Bearer {token}")), key, read_key, write_key, id, email }
    }

    pub(crate) async fn patient(&self, name: &str) -> Person {
        self.person(name, Role::Patient).await
    }

    pub(crate) async fn doctor(&self, name: &str) -> Person {
        self.person(name, Role::Doctor).await
    }

    /// Sends a request as it is.
    pub(crate) async fn ask(&self, request: Request<Body>) -> axum::response::Response {
        self.edge.answer(request, PEER).await
    }

    /// Sends a request with a credential, or none; `path` is below `/api/v1` unless it is a whole one.
    pub(crate) async fn send(
        &self,
        who: Option<&Header>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let is_whole =
            path.starts_with("/api/v1") || path.starts_with("/fhir") || ["/healthz", "/readyz"].contains(&path);
        let path = if is_whole { path.to_owned() } else { format!("/api/v1{path}") };
        let mut request = Request::builder().method(method).uri(path);
        if let Some((name, value)) = who {
            request = request.header(*name, value);
        }
        if path_ends(&request, "/stream") {
            request = request.header("content-type", "application/x-ndjson");
        }
        let request = request.body(body.map_or(Body::empty(), |body| Body::from(body.to_string()))).unwrap();
        let response = self.ask(request).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Sends a body as it is; `path` is below `/api/v1`.
    pub(crate) async fn send_body(&self, who: &Header, path: &str, body: &'static str) -> (u16, Value) {
        let request = Request::builder().method("POST").uri(format!("/api/v1{path}")).header(who.0, &who.1);
        let response = self.edge.answer(request.body(Body::from(body)).unwrap(), PEER).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Sends a file, which may be coded.
    pub(crate) async fn send_file(
        &self,
        who: &Header,
        query: &str,
        coding: Option<&str>,
        file: impl Into<Body>,
    ) -> (u16, Value) {
        let path = format!("/api/v1/imports{query}");
        let mut request = Request::builder().method("POST").uri(path).header(who.0, &who.1);
        if let Some(coding) = coding {
            request = request.header("content-encoding", coding);
        }
        let response = self.edge.answer(request.body(file.into()).unwrap(), PEER).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Sends a request and answers the response as it comes.
    pub(crate) async fn answer(&self, request: Request<Body>) -> axum::response::Response {
        self.edge.answer(request, PEER).await
    }

    pub(crate) async fn get(&self, who: &Header, path: &str) -> (u16, Value) {
        self.send(Some(who), "GET", path, None).await
    }

    pub(crate) async fn post(&self, who: &Header, path: &str, body: Value) -> (u16, Value) {
        self.send(Some(who), "POST", path, Some(&body)).await
    }

    /// A `GET` that must be answered.
    #[track_caller]
    pub(crate) fn read(&self, who: &Header, path: &str) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let (status, body) = self.get(who, path).await;
            assert_eq!(status, 200, "{place}: {body}");
            body
        }
    }

    /// A doctor asks; the grant's id.
    pub(crate) async fn invite(&self, doctor: &Person, patient: &Person, permissions: &[&str]) -> String {
        let body = json!({"patient_email": patient.email, "permissions": permissions});
        let (status, grant) = self.post(&doctor.token, "/grants/invite", body).await;
        assert_eq!(status, 201, "{grant}");
        grant["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn accept(&self, patient: &Person, id: &str) -> Value {
        let (status, grant) = self.send(Some(&patient.token), "POST", &format!("/grants/{id}/accept"), None).await;
        assert_eq!(status, 200, "{grant}");
        grant
    }

    pub(crate) async fn revoke(&self, who: &Person, id: &str) {
        let (status, grant) = self.send(Some(&who.token), "POST", &format!("/grants/{id}/revoke"), None).await;
        assert_eq!((status, grant["status"].as_str()), (200, Some("revoked")), "{grant}");
    }

    /// A doctor is let in; the grant's id.
    pub(crate) async fn grant(&self, doctor: &Person, patient: &Person, permissions: &[&str]) -> String {
        let id = self.invite(doctor, patient, permissions).await;
        self.accept(patient, &id).await;
        id
    }

    /// What time it was in RFC 3339 so many days ago; days to come are negative.
    pub(crate) fn ago(&self, days: f64) -> String {
        let span = Duration::from_secs_f64(days.abs() * 86_400.0);
        let span_us = i64::try_from(span.as_micros()).unwrap();
        let now_us = self.state.clock.now_us();
        engine::time::format(if days < 0.0 { now_us + span_us } else { now_us - span_us })
    }

    pub(crate) async fn check_in(&self, patient: &Person, mut body: Value) -> Value {
        for key in ["mood", "energy", "focus"] {
            if body.get(key).is_none() {
                body[key] = json!(3);
            }
        }
        let (status, check_in) = self.post(&patient.token, "/check-ins", body).await;
        assert_eq!(status, 201, "{check_in}");
        check_in
    }

    pub(crate) async fn heart_rate(&self, patient: &Person, value: f64, days_ago: f64) {
        let point = json!({"metric": "heart_rate", "value": value, "unit": "bpm", "recorded_at": self.ago(days_ago), "source": "w"});
        assert_eq!(self.post(&patient.key, "/wearables/ingest", point).await.0, 201);
    }

    /// Waits until so many queries in SQL run.
    pub(crate) async fn queries_running(&self, expected: u32) {
        self.shown(&format!("avycenna_queries_running {expected}\n")).await;
    }

    /// Waits until a line is in the metrics.
    pub(crate) async fn shown(&self, line: &str) {
        let state = &self.state;
        let reached = async {
            while !state.metrics.render(&storage::Health::Writable, state.engine.storage().metrics()).contains(line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.unwrap_or_else(|_| panic!("never {line}"));
    }
}

fn path_ends(request: &axum::http::request::Builder, end: &str) -> bool {
    request.uri_ref().is_some_and(|uri| uri.path().ends_with(end))
}

/// Where each fault of a 422 is.
pub(crate) fn places(body: &Value) -> Vec<Value> {
    body["detail"].as_array().unwrap_or_else(|| panic!("{body}")).iter().map(|fault| fault["loc"].clone()).collect()
}
