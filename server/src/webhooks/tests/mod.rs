//! Webhooks in process: edge, database, dispatcher, a receiver on the loopback, and a clock that tests move.

mod again;
mod dispatch;
mod endpoints;
mod fairness;
mod inward;
mod receiver;
mod spreading;
mod told;

use std::time::Duration;

use serde_json::{Value, json};

use self::receiver::Receiver;
use super::dispatcher::{self, Running};
use super::resolve::Resolver;
use super::*;
use crate::access::tests::{Person, Stage};
use crate::config::Network;
use crate::control::tests::Fixture as Database;

/// Longest wait for what must happen. A debug build on a busy machine is slow.
const DEADLINE: Duration = Duration::from_mins(1);

const POLL: Duration = Duration::from_millis(5);

/// A database whose server may call the loopback by `http`.
fn inward(mut database: Database) -> Database {
    database.config.webhooks.allow_http = true;
    database.config.webhooks.allowed_networks = vec![Network::try_from("127.0.0.0/8".to_owned()).unwrap()];
    database
}

async fn stage() -> Stage {
    Stage::on(inward(Database::new().await)).await
}

/// A server whose names are looked up in a table.
async fn stage_with_names(
    database: Database,
    table: impl Fn(&str) -> Vec<std::net::IpAddr> + Send + Sync + 'static,
) -> Stage {
    let webhooks = |config: &Config| Webhooks::with_resolver(config, |rules| Resolver::table(rules, table)).unwrap();
    Stage::with(database, webhooks).await
}

fn start(stage: &Stage) -> Running {
    dispatcher::start(&stage.state).unwrap().expect("one dispatcher a server")
}

/// An endpoint of somebody: its id and secret.
async fn endpoint(stage: &Stage, who: &Person, url: &str, events: &[&str]) -> (String, String) {
    let body = json!({"url": url, "events": events});
    let (status, made) = stage.post(&who.key, "/webhooks", body).await;
    assert_eq!(status, 201, "{made}");
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

/// Every event there is.
const ALL: [&str; 4] = ["check_in.created", "symptom.created", "grant.accepted", "grant.revoked"];

/// Sends a test; the delivery's id.
async fn test(stage: &Stage, who: &Person, id: &str) -> String {
    let (status, made) = stage.post(&who.key, &format!("/webhooks/{id}/test"), json!({})).await;
    assert_eq!(status, 202, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn deliveries(stage: &Stage, who: &Person, id: &str) -> Vec<Value> {
    stage.read(&who.key, &format!("/webhooks/{id}/deliveries")).await["deliveries"].as_array().unwrap().clone()
}

/// The deliveries of an endpoint, once they are as they should be.
async fn wait_for(stage: &Stage, who: &Person, id: &str, is_there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let found = deliveries(stage, who, id).await;
        if is_there(&found) {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:#?}");
        tokio::time::sleep(POLL).await;
    }
}

/// The one delivery of an endpoint, once its status and tries are these.
async fn wait_for_one(stage: &Stage, who: &Person, id: &str, status: &str, tries: i64) -> Value {
    let is_there = |found: &[Value]| found.len() == 1 && found[0]["status"] == status && found[0]["tries"] == tries;
    wait_for(stage, who, id, is_there).await.remove(0)
}

fn microseconds(value: &Value) -> i64 {
    engine::time::parse(value.as_str().unwrap_or_else(|| panic!("no time: {value}"))).unwrap()
}

/// What the published header must be.
fn published(secret: &str, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
