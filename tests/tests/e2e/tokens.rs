//! Tokens that somebody made himself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tests::Server;

use crate::setup::server;

/// A real token's header and claims, and the secret that signed it.
struct Genuine {
    header: Value,
    claims: Value,
    secret: String,
}

async fn genuine(server: &Server) -> Genuine {
    let client = server.client();
    let password = "correct horse battery staple";
    let body = json!({"name": "Ada", "email": "ada@example.org", "password": password});
    client.post("/api/v1/auth/register", &body).await.expect(201);
    let login = client.post("/api/v1/auth/login", &json!({"email": "ada@example.org", "password": password})).await;
    let token = login.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    let part = |nth: usize| -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(nth).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let file = std::fs::read_to_string(server.data_dir().join("jwt.secret")).unwrap();
    let (_, secret) = file.lines().find(|line| !line.starts_with('#')).unwrap().split_once(':').unwrap();
    Genuine { header: part(0), claims: part(1), secret: secret.to_owned() }
}

impl Genuine {
    fn kid(&self) -> String {
        self.header["kid"].as_str().unwrap().to_owned()
    }

    /// The claims with one of them changed, or taken away.
    fn with(&self, claim: &str, value: Value) -> Value {
        let mut claims = self.claims.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        } else {
            claims[claim] = value;
        }
        claims
    }
}

fn sign(algorithm: Algorithm, kid: Option<String>, claims: &Value, secret: &str) -> String {
    let header = Header { kid, ..Header::new(algorithm) };
    encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let server = server().await;
    let own = genuine(&server).await;
    let status = |token: String| {
        let client = server.client().with_token(&token);
        async move { client.get("/api/v1/users/me").await.status }
    };
    assert_eq!(own.header["alg"], "HS256");
    for claim in ["iss", "aud", "sub", "exp", "iat", "jti"] {
        assert!(!own.claims[claim].is_null(), "the token carries {claim}: {}", own.claims);
    }
    // Without this the forgeries below could fail for a reason of their own.
    let resigned = sign(Algorithm::HS256, Some(own.kid()), &own.claims, &own.secret);
    assert_eq!(status(resigned.clone()).await, 200, "the secret signs");

    let now = tests::time::now();
    let hs256 = |claims: &Value| sign(Algorithm::HS256, Some(own.kid()), claims, &own.secret);
    let unsigned = |header: &Value, tail: &str| {
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{head}.{}.{tail}", URL_SAFE_NO_PAD.encode(own.claims.to_string()))
    };
    let (body, signature) = resigned.rsplit_once('.').unwrap();
    let forged = [
        ("alg none", unsigned(&json!({"alg": "none", "typ": "JWT", "kid": own.kid()}), "")),
        ("alg None", unsigned(&json!({"alg": "None", "typ": "JWT", "kid": own.kid()}), signature)),
        ("no alg", unsigned(&json!({"typ": "JWT", "kid": own.kid()}), signature)),
        ("no signature", format!("{body}.")),
        ("another algorithm", sign(Algorithm::HS512, Some(own.kid()), &own.claims, &own.secret)),
        ("a wrong kid", sign(Algorithm::HS256, Some("wrong".to_owned()), &own.claims, &own.secret)),
        ("a path as kid", sign(Algorithm::HS256, Some("../../dev/null".to_owned()), &own.claims, "")),
        ("no kid", sign(Algorithm::HS256, None, &own.claims, &own.secret)),
        ("another secret", sign(Algorithm::HS256, Some(own.kid()), &own.claims, "0123456789abcdef0123456789abcdef")),
        ("an empty secret", sign(Algorithm::HS256, Some(own.kid()), &own.claims, "")),
        ("expired", hs256(&own.with("exp", json!(now - 120)))),
        ("no expiry", hs256(&own.with("exp", Value::Null))),
        ("another audience", hs256(&own.with("aud", json!("somebody-else")))),
        ("no audience", hs256(&own.with("aud", Value::Null))),
        ("another issuer", hs256(&own.with("iss", json!("somebody-else")))),
        ("nobody", hs256(&own.with("sub", json!("usr_00000000")))),
        ("no subject", hs256(&own.with("sub", Value::Null))),
        ("a number as subject", hs256(&own.with("sub", json!(1)))),
    ];
    for (attack, token) in forged {
        assert_eq!(status(token).await, 401, "{attack}");
    }
}

#[tokio::test]
async fn a_token_in_the_wrong_place_is_no_token() {
    let server = server().await;
    let own = genuine(&server).await;
    let token = sign(Algorithm::HS256, Some(own.kid()), &own.claims, &own.secret);
    let client = server.client();
    let with = |name: &'static str, value: String| {
        let request = client.request("GET", "/api/v1/users/me").header(name, value);
        let client = client.clone();
        async move { client.send(request).await.status }
    };
    assert_eq!(with("authorization", format!("Bearer {token}")).await, 200);
    assert_eq!(with("authorization", format!("Basic {token}")).await, 401);
    assert_eq!(with("authorization", token.clone()).await, 401);
    assert_eq!(with("x-api-key", token.clone()).await, 401);
    let in_query = client.get(&format!("/api/v1/users/me?access_token={token}")).await;
    assert_eq!(in_query.status, 401);
}

#[tokio::test]
#[cfg(unix)]
async fn the_signing_secret_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = server().await;
    for name in ["jwt.secret", "control.db"] {
        let mode = std::fs::metadata(server.data_dir().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is open to others: {mode:o}");
    }
}
