//! Who waits in an account for the owner of its address, and what is left of them when the owner comes in.

use sea_orm::{EntityTrait, PaginatorTrait};

use super::*;
use crate::control::entities::{api_key, webhook};

/// Reads the newest code of the mail file that `send` has sent.
async fn code<F: Future<Output = ()>>(stage: &Stage, send: impl FnOnce(Mailer) -> F) -> String {
    let mailer = Mailer::open(&stage.database.config).unwrap();
    send(mailer.clone()).await;
    mailer.close().await;
    let text = std::fs::read_to_string(stage.database.config.storage.data_dir.join(crate::mail::FILE_NAME)).unwrap();
    let line = text.lines().rev().find(|line| line.contains("is your avycenna"));
    line.unwrap()[..6].to_owned()
}

/// The owner of an address comes in by a code that went there.
async fn log_in_by_code(stage: &Stage, email: &str) -> Header {
    let auth = &stage.state.auth;
    let code = code(stage, async |mailer| auth.send_code(email, &mailer).await.unwrap()).await;
    let grant = auth.verify_code(email, &code).await.unwrap();
    ("authorization", format!("Bearer {}", grant.access_token))
}

async fn reset_by_code(stage: &Stage, email: &str, password: &str) {
    let auth = &stage.state.auth;
    let code = code(stage, async |mailer| auth.send_reset_code(email, &mailer).await.unwrap()).await;
    auth.reset_password(email, &code, password.to_owned()).await.unwrap();
}

/// Makes an account of somebody else's address, with everything by which one could stay in it or see into it: password,
/// session, keys, a webhook, a doctor of one's own who was let in.
async fn squat(stage: &Stage) -> (Person, Person) {
    let (squatter, doctor) = (stage.patient("Ada").await, stage.doctor("Eve").await);
    let hook = json!({"url": "https://8.8.8.8/", "events": ["check_in.created"]});
    assert_eq!(stage.post(&squatter.token, "/webhooks", hook.clone()).await.0, 201);
    assert_eq!(stage.post(&doctor.token, "/webhooks", hook).await.0, 201);
    stage.grant(&doctor, &squatter, &["check_ins", "wearables_write"]).await;
    for who in [&squatter.token, &squatter.key, &squatter.read_key] {
        assert_eq!(stage.get(who, "/users/me").await.0, 200);
    }
    assert_eq!(stage.get(&doctor.token, &format!("/grants/patient/{}/check-ins", squatter.id)).await.0, 200);
    (squatter, doctor)
}

/// That nothing of what [`squat`] made opens anything.
async fn nobody_else_is_in(stage: &Stage, squatter: &Person, doctor: &Person) {
    for who in [&squatter.token, &squatter.key, &squatter.read_key] {
        assert_eq!(stage.get(who, "/users/me").await.0, 401);
    }
    let by_password = stage.state.auth.login(&squatter.email, PASSWORD.to_owned()).await;
    assert!(matches!(by_password, Err(crate::auth::AuthError::Wrong)));
    for path in ["check-ins", "wearables/latest", "overview"] {
        assert_eq!(stage.get(&doctor.token, &format!("/grants/patient/{}/{path}", squatter.id)).await.0, 403, "{path}");
    }
    let control = stage.state.control.read();
    let keys = api_key::Entity::find().all(control).await.unwrap();
    assert!(keys.iter().all(|key| key.user_id == doctor.id), "{keys:?}");
    assert_eq!(keys.len(), 3, "the doctor's own stay");
    let hooks = webhook::Entity::find().all(control).await.unwrap();
    assert!(hooks.len() == 1 && hooks[0].user_id == doctor.id, "the doctor's own stays");
}

async fn behaves(stage: Stage) {
    let (squatter, doctor) = squat(&stage).await;
    let owner = log_in_by_code(&stage, &squatter.email).await;
    nobody_else_is_in(&stage, &squatter, &doctor).await;
    assert_eq!(stage.read(&owner, "/users/me").await["id"], json!(squatter.id));
    let export = stage.read(&owner, "/export").await;
    assert_eq!(export["user"]["email_verified_at"], json!(stage.ago(0.0)), "what is known of them is theirs to have");
    let ended = stage.read(&owner, "/grants/incoming?status=all").await;
    assert_eq!(ended["grants"][0]["status"], json!("revoked"), "the owner sees who had been let in");

    // What the owner makes stays, whatever codes come later.
    let me = Person { token: owner.clone(), ..squatter.clone() };
    stage.grant(&doctor, &me, &["check_ins"]).await;
    let key = stage.post(&owner, "/api-keys", json!({"name": "k"})).await.1["key"].as_str().unwrap().to_owned();
    let again = log_in_by_code(&stage, &squatter.email).await;
    for who in [&owner, &again, &("x-api-key", key.clone())] {
        assert_eq!(stage.get(who, "/users/me").await.0, 200);
    }
    reset_by_code(&stage, &squatter.email, "the owner's own").await;
    assert_eq!(stage.get(&("x-api-key", key), "/users/me").await.0, 200, "a reset of a proven account leaves keys");
    assert!(stage.state.auth.login(&squatter.email, "the owner's own".to_owned()).await.is_ok());
    assert_eq!(stage.get(&doctor.token, &format!("/grants/patient/{}/check-ins", squatter.id)).await.0, 200);
}

#[tokio::test]
async fn the_first_code_throws_out_whoever_had_registered_the_address() {
    behaves(Stage::new().await).await;
}

#[tokio::test]
async fn it_does_so_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_proof").await {
        behaves(Stage::on(database).await).await;
    }
}

#[tokio::test]
async fn so_does_the_first_reset() {
    let stage = Stage::new().await;
    let (squatter, doctor) = squat(&stage).await;
    reset_by_code(&stage, &squatter.email, "the owner's own").await;
    nobody_else_is_in(&stage, &squatter, &doctor).await;
    assert!(stage.state.auth.login(&squatter.email, "the owner's own".to_owned()).await.is_ok());
}

#[tokio::test]
async fn an_account_that_the_operator_made_keeps_its_password_and_keys_when_a_code_comes() {
    let stage = Stage::new().await;
    let auth = &stage.state.auth;
    let email = "ada@example.org".to_owned();
    let new =
        NewUser { name: "Ada".into(), email: email.clone(), password: Some(PASSWORD.into()), role: Role::Patient };
    let user = auth.register_known(new).await.unwrap();
    auth.create_key(&user.id, NewKey { name: "k".into(), scopes: Scopes::ALL, expires_at: None }).await.unwrap();
    log_in_by_code(&stage, &email).await;
    assert!(auth.login(&email, PASSWORD.to_owned()).await.is_ok());
    assert_eq!(api_key::Entity::find().count(stage.state.control.read()).await.unwrap(), 1);
}
