//! Service tests: edge and router in process, points on a disk that fails when it is told to.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use engine::{Engine, EngineConfig};
use serde_json::{Value, json};
use storage::disk::sim::SimDisk;
use storage::{Place, StorageConfig};

use crate::auth::{Auth, NewKey, NewUser, Role, Scopes};
use crate::control::repository::erasures;
use crate::control::tests::Fixture as Database;
use crate::mail::Mailer;
use crate::middleware::Edge;
use crate::state::AppState;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Fixture {
    edge: Edge,
    state: AppState,
    disk: SimDisk,
    key: String,
    /// Keeps the control database's folder.
    _database: Database,
}

struct FixtureIds {
    user: storage::UserId,
    email: String,
}

impl Fixture {
    async fn new() -> Self {
        let database = Database::new().await;
        let mut config = database.config.clone();
        config.limits.enabled = false;
        let disk = SimDisk::new(3);
        let storage = StorageConfig { log_file_bytes: 1 << 16, background: false, ..StorageConfig::default() };
        let settings = EngineConfig { storage, ..config.engine().unwrap() };
        let clock = Arc::clone(database.control.clock());
        let place = Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock };
        let engine = tokio::task::spawn_blocking(|| Engine::open(place, settings).unwrap()).await.unwrap();
        let auth = Auth::open_unwatched(&config, database.control.clone()).unwrap();
        let (name, email) = ("Ada".to_owned(), "ada@example.org".to_owned());
        let user = auth.register(NewUser { name, email, password: None, role: Role::Patient }).await.unwrap();
        let new = NewKey { name: "k".to_owned(), scopes: Scopes::ALL, expires_at: None };
        let (_, key) = auth.create_key(&user.id, new).await.unwrap();
        let mail = Mailer::open(&config).unwrap();
        let webhooks = crate::webhooks::Webhooks::open(&config).unwrap();
        let state = AppState::new(Arc::new(engine), database.control.clone(), auth, Arc::new(config), mail, webhooks);
        let edge = Edge::new(crate::router::router(state.clone()), state.clone());
        Self { edge, state, disk, key, _database: database }
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("x-api-key", &self.key);
        let request = request.body(body.map_or(Body::empty(), |body| Body::from(body.to_string()))).unwrap();
        let response = self.edge.answer(request, PEER).await;
        let status = response.status().as_u16();
        if status == 503 {
            assert!(response.headers().contains_key("retry-after"), "{path}");
        }
        let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Whose key it is.
    async fn ids(&self) -> FixtureIds {
        let (status, me) = self.get("/api/v1/users/me").await;
        assert_eq!(status, 200, "{me}");
        let text = |key: &str| me[key].as_str().unwrap().to_owned();
        FixtureIds { user: storage::UserId::parse(&text("id")).unwrap(), email: text("email") }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, None).await
    }

    /// Sends `count` heart rates, a second apart, from `first` seconds ago backwards.
    async fn ingest(&self, first: i64, count: i64) -> u16 {
        let points: Vec<Value> = (first..first + count)
            .map(|ago| {
                let at = jiff::Timestamp::from_microsecond(self.state.clock.now_us() - ago * 1_000_000).unwrap();
                json!({"metric": "heart_rate", "value": 60, "unit": "bpm", "recorded_at": at.to_string(), "source": "w"})
            })
            .collect();
        self.send("POST", "/api/v1/wearables/bulk-ingest", Some(&json!({"data_points": points}))).await.0
    }

    async fn stored(&self) -> usize {
        let (status, window) = self.get("/api/v1/wearables/metric/heart_rate?days=30").await;
        assert_eq!(status, 200, "{window}");
        window["data_points"].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_readiness_says_so_and_reads_go_on() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ingest(0, 10).await, 201);
    assert_eq!(fixture.get("/readyz").await.0, 200);
    fixture.disk.fail_sync_at(1);
    assert_eq!(fixture.ingest(100, 10).await, 503);
    assert_eq!(fixture.ingest(200, 10).await, 503, "the disk is well again, the log is not");
    let (status, ready) = fixture.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(ready["detail"].as_str().unwrap().contains("sync failed"), "{ready}");
    assert_eq!(fixture.get("/healthz").await.0, 200);
    assert_eq!(fixture.stored().await, 10);
    assert_eq!(fixture.get("/api/v1/wearables/latest").await.1["latest"]["heart_rate"]["value"], 60.0);
}

#[tokio::test]
async fn an_erasure_that_finds_the_disk_full_is_finished_when_space_returns() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ingest(0, 10).await, 201);
    let FixtureIds { user, email } = fixture.ids().await;
    // Otherwise the log would give the room back that it has reserved.
    let storage = Arc::clone(fixture.state.engine.storage());
    tokio::task::spawn_blocking(move || storage.flush().unwrap()).await.unwrap();
    fixture.disk.fill_up(0);
    fixture.state.eraser.erase(&fixture.state.auth, user).await.unwrap();
    let pending = || async { erasures::pending(fixture.state.control.read()).await.unwrap() };
    assert_eq!(pending().await.len(), 1, "the account is gone, the points are not");
    assert_eq!(fixture.get("/api/v1/wearables/latest").await.0, 401);
    assert!(fixture.state.eraser.catch_up().await.is_err());
    fixture.disk.fill_up(u64::MAX);
    assert_eq!(fixture.state.eraser.catch_up().await.unwrap(), 1);
    assert_eq!(pending().await, []);
    assert_eq!(fixture.state.control.columns_with(&email).await.unwrap(), []);
    assert_eq!(fixture.state.engine.storage().metrics().tombstones.get(), 1);
}

#[tokio::test]
async fn a_full_disk_is_507_and_recovers_when_space_returns() {
    let fixture = Fixture::new().await;
    fixture.disk.fill_up(0);
    let (mut first, mut status) = (0, 201);
    while status == 201 && first < 1_000_000 {
        status = fixture.ingest(first, 500).await;
        first += 500;
    }
    assert_eq!(status, 507);
    assert_eq!(fixture.get("/readyz").await.0, 503);
    let acknowledged = usize::try_from(first).unwrap() - 500;
    assert_eq!(fixture.stored().await, acknowledged, "what was refused is not there");
    fixture.disk.fill_up(u64::MAX);
    assert_eq!(fixture.ingest(first, 500).await, 201);
    assert_eq!(fixture.get("/readyz").await.0, 200);
    assert_eq!(fixture.stored().await, acknowledged + 500);
}

#[tokio::test]
async fn a_closed_engine_answers_503_at_once() {
    let fixture = Fixture::new().await;
    let engine = Arc::clone(&fixture.state.engine);
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    assert_eq!(fixture.ingest(0, 1).await, 503);
    assert_eq!(fixture.get("/readyz").await.0, 503);
}

/// Every operation of the description without credentials: 401, but for those that are open.
#[tokio::test]
async fn every_operation_asks_who_is_there() {
    let fixture = Fixture::new().await;
    let description = serde_json::to_value(crate::router::description()).unwrap();
    let mut open = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let target = path.replace("{metric}", "heart_rate").replace("{id}", "key_00000000");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&target);
            let response = fixture.edge.answer(request.body(Body::from("{}")).unwrap(), PEER).await;
            if response.status() != 401 {
                open.push(format!("{method} {path} {}", response.status().as_u16()));
            }
        }
    }
    insta::assert_snapshot!(open.join("\n"), @r"
    post /api/v1/auth/forgot 422
    post /api/v1/auth/login 422
    post /api/v1/auth/logout 422
    post /api/v1/auth/otp/send 422
    post /api/v1/auth/otp/verify 422
    post /api/v1/auth/refresh 422
    post /api/v1/auth/register 422
    post /api/v1/auth/reset 422
    get /healthz 200
    get /readyz 200
    ");
}

#[test]
fn the_description_says_which_bodies_need_not_be_there() {
    let description = serde_json::to_value(crate::router::description()).unwrap();
    let mut optional = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation.get("requestBody").is_some_and(|body| body["required"] != true) {
                optional.push(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(optional, ["post /api/v1/grants/{id}/accept"]);
}

/// What the API is, a line an operation: a change of it is a change that clients see.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of operations")]
fn the_operations_are_those_that_are_promised() {
    let description = serde_json::to_value(crate::router::description()).unwrap();
    let mut lines = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters: Vec<_> = parameters.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            let mut statuses: Vec<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
            statuses.sort();
            lines.push(format!("{method} {path} ({}) → {}", parameters.join(", "), statuses.join(" ")));
        }
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    get /api/v1/api-keys () → 200 401 403 429 500 503 504
    post /api/v1/api-keys () → 201 401 403 408 409 413 422 429 500 503 504
    delete /api/v1/api-keys/{id} (id) → 204 401 403 404 429 500 503 504
    get /api/v1/audit (limit, cursor) → 200 401 403 422 429 500 503 504
    post /api/v1/auth/forgot () → 200 408 413 422 429 500 503 504
    post /api/v1/auth/login () → 200 401 408 413 422 429 500 503 504
    post /api/v1/auth/logout () → 204 408 413 422 429 500 503 504
    post /api/v1/auth/otp/send () → 200 408 413 422 429 500 503 504
    post /api/v1/auth/otp/verify () → 200 401 408 413 422 429 500 503 504
    post /api/v1/auth/password () → 204 401 403 408 413 422 429 500 503 504
    post /api/v1/auth/refresh () → 200 401 408 413 422 429 500 503 504
    post /api/v1/auth/register () → 201 408 409 413 422 429 500 503 504
    post /api/v1/auth/reset () → 204 401 408 413 422 429 500 503 504
    get /api/v1/auth/sessions () → 200 401 403 429 500 503 504
    delete /api/v1/auth/sessions/{id} (id) → 204 401 403 404 429 500 503 504
    get /api/v1/check-ins (days) → 200 401 403 422 429 500 503 504
    post /api/v1/check-ins () → 201 401 403 408 413 422 429 500 503 504
    delete /api/v1/check-ins/{id} (id) → 204 401 403 404 429 500 503 504
    get /api/v1/check-ins/{id} (id) → 200 401 403 404 429 500 503 504
    patch /api/v1/check-ins/{id} (id) → 200 401 403 404 408 413 422 429 500 503 504
    get /api/v1/export (format) → 200 401 403 422 429 500 503 504
    get /api/v1/grants/incoming (status) → 200 401 403 422 429 500 503 504
    post /api/v1/grants/invite () → 201 401 403 408 409 413 422 429 500 503 504
    get /api/v1/grants/outgoing (status) → 200 401 403 422 429 500 503 504
    get /api/v1/grants/patient/{patient_id}/check-ins (patient_id, days) → 200 401 403 422 429 500 503 504
    get /api/v1/grants/patient/{patient_id}/overview (patient_id, days) → 200 401 403 422 429 500 503 504
    get /api/v1/grants/patient/{patient_id}/symptoms (patient_id, days) → 200 401 403 422 429 500 503 504
    get /api/v1/grants/patient/{patient_id}/wearables/latest (patient_id) → 200 401 403 429 500 503 504
    get /api/v1/grants/patient/{patient_id}/wearables/metric/{metric} (patient_id, metric, days, start, end, source, limit, cursor, bucket, agg, tz) → 200 401 403 404 422 429 500 503 504
    patch /api/v1/grants/{id} (id) → 200 401 403 404 408 409 413 422 429 500 503 504
    post /api/v1/grants/{id}/accept (id) → 200 401 403 404 408 409 413 422 429 500 503 504
    post /api/v1/grants/{id}/decline (id) → 200 401 403 404 409 429 500 503 504
    post /api/v1/grants/{id}/revoke (id) → 200 401 403 404 409 429 500 503 504
    get /api/v1/imports () → 200 401 403 429 500 503 504
    post /api/v1/imports (format, priority) → 202 401 403 408 409 413 415 422 429 500 503 504 507
    delete /api/v1/imports/{id} (id) → 204 401 403 404 429 500 503 504
    get /api/v1/imports/{id} (id) → 200 401 403 404 429 500 503 504
    post /api/v1/integrations/garmin/push () → 200 401 403 408 413 415 422 429 500 503 504 507
    post /api/v1/integrations/health-auto-export () → 200 401 403 408 413 415 422 429 500 503 504 507
    post /api/v1/query () → 200 401 403 406 408 413 422 429 500 503 504
    get /api/v1/symptoms (days) → 200 401 403 422 429 500 503 504
    post /api/v1/symptoms () → 201 401 403 408 413 422 429 500 503 504
    delete /api/v1/symptoms/{id} (id) → 204 401 403 404 429 500 503 504
    get /api/v1/symptoms/{id} (id) → 200 401 403 404 429 500 503 504
    patch /api/v1/symptoms/{id} (id) → 200 401 403 404 408 413 422 429 500 503 504
    delete /api/v1/users/me () → 202 401 403 408 413 422 429 500 503 504
    get /api/v1/users/me () → 200 401 429 500 503 504
    patch /api/v1/users/me () → 200 401 408 413 422 429 500 503 504
    post /api/v1/wearables/bulk-ingest () → 201 401 403 408 413 415 422 429 500 503 504 507
    post /api/v1/wearables/ingest () → 201 401 403 408 413 415 422 429 500 503 504 507
    get /api/v1/wearables/latest () → 200 401 403 429 500 503 504
    delete /api/v1/wearables/metric/{metric} (metric, start, end) → 204 401 403 404 422 429 500 503 504
    get /api/v1/wearables/metric/{metric} (metric, days, start, end, source, limit, cursor, bucket, agg, tz) → 200 401 403 404 422 429 500 503 504
    get /api/v1/wearables/metrics () → 200 401 403 429 500 503 504
    post /api/v1/wearables/stream (on_error) → 200 401 403 408 413 415 422 429 500 503 504
    get /api/v1/webhooks () → 200 401 403 429 500 503 504
    post /api/v1/webhooks () → 201 401 403 408 409 413 422 429 500 503 504
    delete /api/v1/webhooks/{id} (id) → 204 401 403 404 429 500 503 504
    get /api/v1/webhooks/{id} (id) → 200 401 403 404 429 500 503 504
    patch /api/v1/webhooks/{id} (id) → 200 401 403 404 408 413 422 429 500 503 504
    get /api/v1/webhooks/{id}/deliveries (id, status, limit, cursor) → 200 401 403 404 422 429 500 503 504
    post /api/v1/webhooks/{id}/deliveries/{delivery_id}/replay (id, delivery_id) → 202 401 403 404 409 429 500 503 504
    get /api/v1/webhooks/{id}/events (id, since, limit) → 200 401 403 404 422 429 500 503 504
    post /api/v1/webhooks/{id}/recover (id) → 202 401 403 404 408 409 413 422 429 500 503 504
    post /api/v1/webhooks/{id}/rotate-secret (id) → 200 401 403 404 429 500 503 504
    post /api/v1/webhooks/{id}/test (id) → 202 401 403 404 409 429 500 503 504
    get /healthz () → 200 429 500 503 504
    get /readyz () → 200 429 500 503 504
    ");
}
