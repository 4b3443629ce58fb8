//! Clients from outside: keys, assertions, tokens and what these are good for.

mod attack;
mod life;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::jwks::Jwks;
use super::token::ID_PREFIX;
use crate::access::tests::{Person, Stage};
use crate::auth::random;
use crate::control::entities::smart_client::Model;
use crate::control::repository::smart;
use crate::control::tests::{Fixture as Database, NOW_US};

/// Made for these tests; nothing else trusts them.
const RSA: &[u8] = include_bytes!("rsa.pem");
const OTHER_RSA: &[u8] = include_bytes!("other_rsa.pem");
const EC: &[u8] = include_bytes!("ec.pem");

const NOW_S: i64 = NOW_US / 1_000_000;
const TOKEN_URL: &str = "http://localhost/fhir/R4/auth/token";
const BOTH: &str = "system/Patient.rs system/Observation.rs";

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA).unwrap()
}

fn ec() -> EncodingKey {
    EncodingKey::from_ec_pem(EC).unwrap()
}

/// A public key as a file would hold it.
fn jwk(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    jwk
}

/// The set of two keys: `r` for RS384, `e` for ES384.
fn key_set() -> String {
    let keys = vec![jwk(&rsa(), Algorithm::RS384, "r"), jwk(&ec(), Algorithm::ES384, "e")];
    serde_json::to_string(&JwkSet { keys }).unwrap()
}

/// A registered client; its id.
pub(crate) async fn register(stage: &Stage, owner: &Person, scopes: &str) -> String {
    let id = random::base62(ID_PREFIX, 16).unwrap();
    let jwks = Jwks::parse(&key_set()).unwrap().to_json();
    let (name, scopes, created_at) = ("ward".to_owned(), scopes.to_owned(), NOW_US);
    let row = Model { id: id.clone(), user_id: owner.id.clone(), name, jwks, scopes, created_at };
    let write = stage.state.control.write().await.unwrap();
    smart::insert(write.on(), row).await.unwrap();
    write.commit().await.unwrap();
    id
}

/// What an honest client says; `jti` makes it another assertion.
fn claims(client: &str, jti: &str) -> Value {
    json!({"iss": client, "sub": client, "aud": TOKEN_URL, "exp": NOW_S + 300, "iat": NOW_S, "jti": jti})
}

fn header(algorithm: Algorithm, kid: &str) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    header
}

fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(&header(Algorithm::RS384, "r"), claims, &rsa()).unwrap()
}

/// The body of an honest request.
fn form(assertion: &str, scope: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .append_pair("client_assertion", assertion)
        .append_pair("scope", scope)
        .finish()
}

/// Asks for a token; status and body.
async fn ask(stage: &Stage, body: String) -> (u16, Value) {
    let request = Request::post("/fhir/R4/auth/token")
        .header("host", "localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    let response = stage.ask(request).await;
    let status = response.status().as_u16();
    assert!(status >= 500 || status == 413 || response.headers()["cache-control"] == "no-store", "{status}");
    assert_eq!(status == 401, response.headers().contains_key("www-authenticate"));
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// A token of a client, as a header.
pub(crate) async fn token(stage: &Stage, client: &str, jti: &str, scope: &str) -> (&'static str, String) {
    let (status, body) = ask(stage, form(&sign(&claims(client, jti)), scope)).await;
    assert_eq!(status, 200, "{body}");
    ("authorization", format!("Bearer {}", body["access_token"].as_str().unwrap()))
}
