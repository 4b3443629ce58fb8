//! A client's life: registered, let in once for each assertion, good for FHIR alone, and ended.

use std::time::Duration;

use sea_orm::ConnectionTrait as _;

use super::*;
use crate::auth::{Auth, AuthError, Means};

/// Whom a token belongs to, as a process sees it.
async fn seen(auth: &Auth, token: &(&'static str, String)) -> Result<crate::auth::Principal, AuthError> {
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(token.0, token.1.parse().unwrap());
    assert!(auth.authenticate(&headers).await.is_err(), "no path, no client");
    // Good for whoever has any scope.
    auth.authenticate_at(&headers, "/fhir/R4/$export-status/x").await
}

async fn principal(stage: &Stage, token: &(&'static str, String)) -> Result<crate::auth::Principal, AuthError> {
    seen(&stage.state.auth, token).await
}

#[tokio::test]
async fn both_algorithms_get_a_token_of_five_minutes_for_the_owner() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let client = register(&stage, &doctor, BOTH).await;
    let by_ec = jsonwebtoken::encode(&header(Algorithm::ES384, "e"), &claims(&client, "1"), &ec()).unwrap();
    for (jti, assertion) in [("1", by_ec), ("2", sign(&claims(&client, "2")))] {
        let (status, body) = ask(&stage, form(&assertion, "system/*.rs")).await;
        assert_eq!((status, &body["scope"]), (200, &json!(BOTH)), "{jti}: {body}");
        let token = ("authorization", format!("Bearer {}", body["access_token"].as_str().unwrap()));
        let principal = principal(&stage, &token).await.unwrap();
        assert_eq!(principal.user.as_str(), doctor.id);
        assert!(matches!(principal.means, Means::Client { id, .. } if *id == *client));
    }
    let token = token(&stage, &client, "3", BOTH).await;
    stage.clock.advance(Duration::from_secs(299));
    assert!(principal(&stage, &token).await.is_ok());
    stage.clock.advance(Duration::from_secs(1));
    assert!(matches!(principal(&stage, &token).await, Err(AuthError::Invalid)));
}

/// An assertion at two processes at once, and again after a restart.
async fn once(stage: Stage) {
    let doctor = stage.doctor("Doc").await;
    let client = register(&stage, &doctor, BOTH).await;
    let second = Stage::with_state_of(&stage).await;
    let body = form(&sign(&claims(&client, "1")), BOTH);
    let (a, b) = tokio::join!(ask(&stage, body.clone()), ask(&second, body.clone()));
    let mut statuses = [a.0, b.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{a:?} {b:?}");
    // The last moment at which its own time lets it in, on another process that knows nothing but the database.
    stage.clock.advance(Duration::from_secs(300 + 29));
    stage.state.auth.sweep_expired().await.unwrap();
    let third = Stage::with_state_of(&stage).await;
    let (status, answer) = ask(&third, body.clone()).await;
    assert!(status == 401 && answer["error_description"].as_str().unwrap().contains("used before"), "{answer}");
    let count = async || {
        let backend = stage.state.control.read().get_database_backend();
        let sql = sea_orm::Statement::from_string(backend, "SELECT COUNT(*) AS n FROM smart_assertions");
        stage.state.control.read().query_one_raw(sql).await.unwrap().unwrap().try_get::<i64>("", "n").unwrap()
    };
    assert_eq!(count().await, 1);
    stage.clock.advance(Duration::from_mins(1));
    stage.state.auth.sweep_expired().await.unwrap();
    assert_eq!(count().await, 0, "what its own time refuses is not kept");
    let (status, answer) = ask(&third, body).await;
    assert!(status == 401 && answer["error_description"].as_str().unwrap().contains("expired"), "{answer}");
}

#[tokio::test]
async fn an_assertion_works_once_over_all_processes_and_restarts() {
    Box::pin(once(Stage::new().await)).await;
}

#[tokio::test]
async fn so_it_does_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_jti").await {
        Box::pin(once(Stage::on(database).await)).await;
    }
}

#[tokio::test]
async fn a_clients_token_is_good_for_fhir_and_its_scopes_alone() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let client = register(&stage, &doctor, "system/Observation.rs").await;
    let token = token(&stage, &client, "1", BOTH).await;
    let mut wrong = Vec::new();
    for (method, path, wants_credentials) in crate::openapi::operations(&crate::router::description()) {
        if !wants_credentials || path.starts_with("/fhir/") {
            continue;
        }
        let path = path.replace(['{', '}'], "");
        let (status, body) = stage.send(Some(&token), &method, &path, Some(&json!({}))).await;
        if status != 403 {
            wrong.push(format!("{method} {path}: {status} {body}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // It is no session, and a person's token is no client's.
    let principal = principal(&stage, &token).await.unwrap();
    assert!(principal.require_token().is_err() && principal.require_write().is_err());
    let persons = doctor.token.1.trim_start_matches("Bearer ");
    let (tokens, now_us) = (crate::auth::Tokens::open(&stage.state.config).unwrap(), stage.state.clock.now_us());
    assert!(tokens.verify(persons, now_us).is_ok() && tokens.verify_client(persons, now_us).is_err());
    let clients = token.1.trim_start_matches("Bearer ");
    assert!(tokens.verify_client(clients, now_us).is_ok() && tokens.verify(clients, now_us).is_err());
}

#[tokio::test]
async fn no_scope_that_was_not_asked_for_is_granted() {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, stage.patient("Ada").await);
    stage.grant(&doctor, &ada, &["wearables"]).await;
    let client = register(&stage, &doctor, "system/*.rs").await;
    let patient = format!("/fhir/R4/Patient/{}", ada.id.replace('_', "-"));
    let (search, devices) =
        (format!("/fhir/R4/Observation?patient={}", ada.id), format!("/fhir/R4/Device?patient={}", ada.id));
    // scope, what is answered to: a search of observations, of devices, a read of the patient
    for (nth, (scope, expected)) in [
        ("system/Observation.rs", [200, 403, 403]),
        ("system/Observation.r", [403, 403, 403]),
        ("system/Patient.read", [403, 403, 200]),
        ("system/Device.s system/Observation.s", [200, 200, 403]),
        ("system/*.rs", [200, 200, 200]),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, body) = ask(&stage, form(&sign(&claims(&client, &nth.to_string())), scope)).await;
        assert_eq!((status, &body["scope"]), (200, &json!(scope)), "{body}");
        let token = ("authorization", format!("Bearer {}", body["access_token"].as_str().unwrap()));
        let mut statuses = Vec::new();
        for path in [&search, &devices, &patient] {
            statuses.push(stage.get(&token, path).await.0);
        }
        assert_eq!(statuses, expected, "{scope}");
    }
}

#[tokio::test]
async fn a_client_sees_what_the_grants_of_its_owner_allow_within_its_scopes_and_the_trail_says_so() {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, stage.patient("Ada").await);
    let (bo, grant) = (stage.patient("Bo").await, stage.grant(&doctor, &ada, &["wearables"]).await);
    stage.heart_rate(&ada, 62.0, 1.0).await;
    let client = register(&stage, &doctor, "system/*.rs").await;
    let narrow = token(&stage, &client, "1", "system/Observation.rs").await;
    let wide = token(&stage, &client, "2", "system/*.rs").await;
    let of = |who: &Person| format!("/fhir/R4/Observation?patient={}", who.id);
    let status = async |token: &(&'static str, String), path: &str| stage.get(token, path).await.0;
    let found = stage.read(&narrow, &of(&ada)).await;
    assert_eq!(found["entry"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(status(&narrow, &of(&bo)).await, 403, "no grant");
    let patient = format!("/fhir/R4/Patient/{}", ada.id.replace('_', "-"));
    let with_patient = format!("{}&_include=Observation:patient", of(&ada));
    let beside = [
        patient.clone(),
        with_patient,
        format!("{}&_revinclude=Provenance:target", of(&ada)),
        format!("{}&_include=Observation:device", of(&ada)),
        format!("/fhir/R4/Observation/$lastn?patient={}&_include=Observation:patient", ada.id),
    ];
    for path in &beside {
        assert_eq!((status(&narrow, path).await, status(&wide, path).await), (403, 200), "{path}");
    }
    // What a search of devices and of where things are from brings beside them wants its scope too.
    let point = found["entry"][0]["resource"]["id"].as_str().unwrap();
    let some = token(&stage, &client, "3", "system/Device.rs system/Provenance.rs").await;
    for path in [
        format!("/fhir/R4/Device?patient={}&_include=Device:patient", ada.id),
        format!("/fhir/R4/Provenance?target={point}&_include=Provenance:target"),
    ] {
        assert_eq!((status(&some, &path).await, status(&wide, &path).await), (403, 200), "{path}");
    }
    let trail = stage.read(&ada.token, "/audit").await;
    let records = trail["records"].as_array().unwrap();
    let is_clients = |record: &Value| record["means"] == "client" && record["means_id"] == json!(client);
    assert!(records.len() == 8 && records.iter().all(is_clients), "{trail}");
    assert_eq!(crate::access::audit::verify(&stage.state.control).await.unwrap().breaks, []);
    stage.revoke(&ada, &grant).await;
    assert_eq!((status(&wide, &of(&ada)).await, status(&wide, &patient).await), (403, 403));
}

#[tokio::test]
async fn keys_are_changed_without_a_new_client_and_the_old_ones_are_refused_at_once() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let client = register(&stage, &doctor, BOTH).await;
    let before = token(&stage, &client, "1", BOTH).await;
    let set = async |keys: Vec<Jwk>| {
        let jwks = Jwks::parse(&serde_json::to_string(&JwkSet { keys }).unwrap()).unwrap().to_json();
        let write = stage.state.control.write().await.unwrap();
        assert!(smart::set_keys(write.on(), &client, &jwks).await.unwrap());
        assert!(!smart::set_keys(write.on(), "smc_0000000000000000", &jwks).await.unwrap());
        write.commit().await.unwrap();
    };
    let other = EncodingKey::from_rsa_pem(OTHER_RSA).unwrap();
    let by_other = |jti: &str| jsonwebtoken::encode(&header(Algorithm::RS384, "new"), &claims(&client, jti), &other);
    let status = async |assertion: String| ask(&stage, form(&assertion, BOTH)).await.0;
    assert_eq!(status(by_other("2").unwrap()).await, 401);
    // Both for a while, then the new one alone.
    set(vec![jwk(&rsa(), Algorithm::RS384, "r"), jwk(&other, Algorithm::RS384, "new")]).await;
    assert_eq!((status(by_other("3").unwrap()).await, status(sign(&claims(&client, "4"))).await), (200, 200));
    set(vec![jwk(&other, Algorithm::RS384, "new")]).await;
    assert_eq!((status(by_other("5").unwrap()).await, status(sign(&claims(&client, "6"))).await), (200, 401));
    assert_eq!(status(by_other("3").unwrap()).await, 401, "what was spent stays spent");
    assert!(principal(&stage, &before).await.is_ok(), "a token lives its five minutes");
}

#[tokio::test]
async fn a_client_that_is_removed_or_may_do_less_or_whose_owner_goes_is_refused_at_once() {
    let stage = Stage::new().await;
    let (doctor, other) = (stage.doctor("Doc").await, stage.doctor("Other").await);
    // Another process with the same signing secret.
    let second = Auth::open_unwatched(&stage.state.config, stage.database.other().await).unwrap();
    let removed = register(&stage, &doctor, BOTH).await;
    let narrowed = register(&stage, &doctor, BOTH).await;
    let ended = register(&stage, &other, BOTH).await;
    let mut tokens = Vec::new();
    for client in [&removed, &narrowed, &ended] {
        tokens.push(token(&stage, client, "1", BOTH).await);
    }
    for token in &tokens {
        assert!(principal(&stage, token).await.is_ok() && seen(&second, token).await.is_ok());
    }
    let changes = stage.state.control.changes().await.unwrap();
    assert!(stage.state.auth.remove_client(&removed).await.unwrap());
    assert!(!stage.state.auth.remove_client(&removed).await.unwrap());
    for process in [&stage.state.auth, &second] {
        assert!(matches!(seen(process, &tokens[0]).await, Err(AuthError::Invalid)));
    }
    let sql = format!("UPDATE smart_clients SET scopes = 'system/Patient.rs' WHERE id = '{narrowed}'");
    stage.state.control.read().execute_unprepared(&sql).await.unwrap();
    let left = seen(&second, &tokens[1]).await.unwrap();
    assert!(left.require_path("/fhir/R4/Patient/x").is_ok() && left.require_path("/fhir/R4/Observation").is_err());
    let confirm = json!({"confirm": other.email});
    assert_eq!(stage.send(Some(&other.token), "DELETE", "/users/me", Some(&confirm)).await.0, 202);
    for process in [&stage.state.auth, &second] {
        assert!(matches!(seen(process, &tokens[2]).await, Err(AuthError::Invalid)));
    }
    // By which a process that remembers credentials sees within a second that it must ask again.
    assert!(stage.state.control.changes().await.unwrap() >= changes + 3);
    let (status, _) = ask(&stage, form(&sign(&claims(&removed, "2")), BOTH)).await;
    assert_eq!(status, 401);
}
