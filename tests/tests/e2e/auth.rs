//! Accounts, sessions, one-time codes, keys.

use serde_json::{Value, json};
use tests::{Client, Server};

use crate::setup::{heart_rate, server};

const PASSWORD: &str = "correct horse battery staple";

/// Registers and logs in over HTTP; the login's answer.
async fn session(server: &Server, email: &str) -> Value {
    let client = server.client();
    let body = json!({"name": "Ada", "email": email, "password": PASSWORD});
    client.post("/api/v1/auth/register", &body).await.expect(201);
    login(&client, email).await
}

async fn login(client: &Client, email: &str) -> Value {
    client.post("/api/v1/auth/login", &json!({"email": email, "password": PASSWORD})).await.expect(200).json()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[tokio::test]
async fn a_person_registers_logs_in_and_reads_herself() {
    let server = server().await;
    let client = server.client();
    let body = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
    let registered = client.post("/api/v1/auth/register", &body).await.expect(201).json();
    assert_eq!(text(&registered, "id").len(), 12);
    assert!(text(&registered, "id").starts_with("usr_"), "{registered}");
    assert_eq!(registered["role"], "patient");

    let login = login(&client, "ada@example.org").await;
    assert_eq!(login["token_type"], "bearer");
    assert_eq!(login["expires_in"], 900);
    assert!(text(&login, "refresh_token").starts_with("rt_"));
    assert_eq!(
        login["user"],
        json!({"id": registered["id"], "email": "ada@example.org", "name": "Ada", "role": "patient"})
    );

    let own = client.with_token(text(&login, "access_token"));
    let me = own.get("/api/v1/users/me").await.expect(200);
    assert_eq!(me.json()["email"], "ada@example.org");
    assert!(!me.header("x-request-id").is_empty());
    let renamed = own.patch("/api/v1/users/me", &json!({"name": "Ada L."})).await.expect(200).json();
    assert_eq!(renamed["name"], "Ada L.");
    let zoned = own.patch("/api/v1/users/me", &json!({"timezone": "Europe/Berlin"})).await.expect(200).json();
    assert_eq!((&zoned["name"], &zoned["timezone"]), (&json!("Ada L."), &json!("Europe/Berlin")));
    own.patch("/api/v1/users/me", &json!({"timezone": "Mars/Olympus"})).await.expect(422);
}

#[tokio::test]
async fn nothing_is_open_without_a_credential() {
    let server = server().await;
    let client = server.client();
    for path in
        ["/api/v1/users/me", "/api/v1/wearables/latest", "/api/v1/wearables/metric/heart_rate", "/api/v1/api-keys"]
    {
        let answer = client.get(path).await.expect(401);
        assert!(!answer.header("www-authenticate").is_empty(), "{path}");
        assert!(answer.json()["detail"].is_string(), "{}", answer.text);
    }
    client.with_token("rubbish").get("/api/v1/users/me").await.expect(401);
    client.with_key("avk_rubbish").get("/api/v1/users/me").await.expect(401);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let server = server().await;
    session(&server, "ada@example.org").await;
    let client = server.client();
    let wrong = json!({"email": "ada@example.org", "password": "wrong horse"});
    let unknown = json!({"email": "eve@example.org", "password": "wrong horse"});
    let wrong = client.post("/api/v1/auth/login", &wrong).await.expect(401);
    let unknown = client.post("/api/v1/auth/login", &unknown).await.expect(401);
    assert_eq!(wrong.text, unknown.text);
    assert!(!wrong.header("www-authenticate").is_empty());
}

#[tokio::test]
async fn a_bad_registration_is_located() {
    let server = server().await;
    let body = json!({"name": "Ada", "email": "not an address", "password": PASSWORD});
    let answer = server.client().post("/api/v1/auth/register", &body).await;
    assert_eq!(answer.locations(), [json!(["body", "email"])]);
}

#[tokio::test]
async fn a_refresh_token_is_spent_once_and_its_reuse_ends_the_family() {
    let server = server().await;
    let first = session(&server, "ada@example.org").await;
    let client = server.client();
    let refresh = |token: &str| {
        let (client, body) = (client.clone(), json!({"refresh_token": token}));
        async move { client.post("/api/v1/auth/refresh", &body).await }
    };
    let second = refresh(text(&first, "refresh_token")).await.expect(200).json();
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    client.with_token(text(&second, "access_token")).get("/api/v1/users/me").await.expect(200);

    refresh(text(&first, "refresh_token")).await.expect(401);
    refresh(text(&second, "refresh_token")).await.expect(401);
    // Another session of hers is another family.
    let other = login(&client, "ada@example.org").await;
    refresh(text(&other, "refresh_token")).await.expect(200);
}

#[tokio::test]
async fn logging_out_ends_the_session_at_once() {
    let server = server().await;
    let session = session(&server, "ada@example.org").await;
    let client = server.client();
    let own = client.with_token(text(&session, "access_token"));
    own.get("/api/v1/users/me").await.expect(200);
    let body = json!({"refresh_token": session["refresh_token"]});
    own.post("/api/v1/auth/logout", &body).await.expect(204);
    client.post("/api/v1/auth/refresh", &body).await.expect(401);
    own.get("/api/v1/users/me").await.expect(401);
}

/// The newest six-digit code in the mail file.
fn mailed_code(server: &Server) -> Option<String> {
    let mail = std::fs::read_to_string(server.data_dir().join("mail.txt")).unwrap_or_default();
    mail.split(|letter: char| !letter.is_ascii_alphanumeric())
        .rfind(|word| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

async fn wait_for_code(server: &Server, not: Option<&str>) -> String {
    let deadline = tokio::time::Instant::now() + tests::server::DEADLINE;
    loop {
        match mailed_code(server) {
            Some(code) if Some(code.as_str()) != not => return code,
            _ => assert!(tokio::time::Instant::now() < deadline, "no mail with a code came"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_one_time_code_comes_by_mail_and_opens_once() {
    let server = server().await;
    session(&server, "ada@example.org").await;
    let client = server.client();
    let known = client.post("/api/v1/auth/otp/send", &json!({"email": "ada@example.org"})).await.expect(200);
    let unknown = client.post("/api/v1/auth/otp/send", &json!({"email": "eve@example.org"})).await.expect(200);
    assert_eq!(known.text, unknown.text);
    assert_eq!(known.json()["expires_in_minutes"], 10);

    let code = wait_for_code(&server, None).await;
    let body = json!({"email": "ada@example.org", "otp": code});
    let opened = client.post("/api/v1/auth/otp/verify", &body).await.expect(200).json();
    client.with_token(text(&opened, "access_token")).get("/api/v1/users/me").await.expect(200);
    client.post("/api/v1/auth/otp/verify", &body).await.expect(401);
    let mail = std::fs::read_to_string(server.data_dir().join("mail.txt")).unwrap();
    assert!(!mail.contains("eve@example.org"), "nobody without an account gets mail");
}

#[tokio::test]
async fn five_wrong_tries_end_a_one_time_code() {
    let server = server().await;
    session(&server, "ada@example.org").await;
    let client = server.client();
    client.post("/api/v1/auth/otp/send", &json!({"email": "ada@example.org"})).await.expect(200);
    let code = wait_for_code(&server, None).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        let body = json!({"email": "ada@example.org", "otp": wrong});
        client.post("/api/v1/auth/otp/verify", &body).await.expect(401);
    }
    client.post("/api/v1/auth/otp/verify", &json!({"email": "ada@example.org", "otp": code})).await.expect(401);
}

#[tokio::test]
async fn a_key_is_shown_once_and_a_deleted_one_is_refused_at_once() {
    let server = server().await;
    let session = session(&server, "ada@example.org").await;
    let own = server.client().with_token(text(&session, "access_token"));
    let created = own.post("/api/v1/api-keys", &json!({"name": "pipeline"})).await.expect(201).json();
    let key = text(&created, "key").to_owned();
    assert!(key.starts_with("avk_") && text(&created, "id").starts_with("key_"), "{created}");
    assert_eq!(created["scopes"], json!(["read", "write"]));
    let listed = own.get("/api/v1/api-keys").await.expect(200).text;
    assert!(listed.contains(text(&created, "id")) && !listed.contains(&key), "{listed}");

    let by_key = server.client().with_key(&key);
    by_key.get("/api/v1/wearables/latest").await.expect(200);
    own.delete(&format!("/api/v1/api-keys/{}", text(&created, "id"))).await.expect(204);
    by_key.get("/api/v1/wearables/latest").await.expect(401);
    let control = std::fs::read(server.data_dir().join("control.db")).unwrap();
    assert!(!control.windows(key.len()).any(|window| window == key.as_bytes()), "a key is stored as its hash alone");
}

#[tokio::test]
async fn a_key_cannot_make_keys() {
    let server = server().await;
    let key = server.person("ada@example.org");
    key.get("/api/v1/api-keys").await.expect(403);
    key.post("/api/v1/api-keys", &json!({"name": "more"})).await.expect(403);
    key.post("/api/v1/auth/logout", &json!({"refresh_token": "rt_none"})).await.expect(403);
}

#[tokio::test]
async fn scopes_hold() {
    let server = server().await;
    let session = session(&server, "ada@example.org").await;
    let own = server.client().with_token(text(&session, "access_token"));
    let mut keys = Vec::new();
    for scope in ["read", "write"] {
        let body = json!({"name": scope, "scopes": [scope]});
        let created = own.post("/api/v1/api-keys", &body).await.expect(201).json();
        keys.push(server.client().with_key(text(&created, "key")));
    }
    let point = heart_rate(62.0, "2024-06-01T08:00:00Z");
    let [read, write] = keys.as_slice() else { panic!("two keys") };
    read.post("/api/v1/wearables/ingest", &point).await.expect(403);
    read.get("/api/v1/wearables/latest").await.expect(200);
    write.post("/api/v1/wearables/ingest", &point).await.expect(201);
    write.get("/api/v1/wearables/latest").await.expect(403);
    let unknown = own.post("/api/v1/api-keys", &json!({"name": "x", "scopes": ["admin"]})).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let server = server().await;
    let session = session(&server, "ada@example.org").await;
    let own = server.client().with_token(text(&session, "access_token"));
    let soon = tests::time::rfc3339(tests::time::now() + 2);
    let created = own.post("/api/v1/api-keys", &json!({"name": "short", "expires_at": soon})).await.expect(201).json();
    let key = server.client().with_key(text(&created, "key"));
    let deadline = tokio::time::Instant::now() + tests::server::DEADLINE;
    while key.get("/api/v1/wearables/latest").await.status != 401 {
        assert!(tokio::time::Instant::now() < deadline, "the key outlives its expiry");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_key_made_on_the_command_line_works_while_the_server_runs_and_one_deleted_there_ends() {
    let server = server().await;
    let id = server.user("ada@example.org");
    let key = server.client().with_key(&server.key("ada@example.org"));
    assert_eq!(key.get("/api/v1/users/me").await.expect(200).json()["id"], json!(id));

    let listed = server.command_ok(&["key", "list", "--user", "ada@example.org"]);
    server.command_ok(&["key", "revoke", listed.split('\t').next().unwrap()]);
    // Another process did it: the contract gives the server a second.
    let deadline = tokio::time::Instant::now() + tests::server::DEADLINE;
    while key.get("/api/v1/users/me").await.status != 401 {
        assert!(tokio::time::Instant::now() < deadline, "a key revoked by another process goes on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn accounts_survive_a_restart_and_old_tokens_go_on() {
    let mut server = server().await;
    let session = session(&server, "ada@example.org").await;
    assert!(server.stop().await.success());
    server.restart().await;
    server.client().with_token(text(&session, "access_token")).get("/api/v1/users/me").await.expect(200);
    login(&server.client(), "ada@example.org").await;
}

#[tokio::test]
async fn a_new_password_ends_every_login_and_a_login_is_ended_by_its_owner() {
    let server = server().await;
    let phone = session(&server, "ada@example.org").await;
    let client = server.client();
    let web = login(&client, "ada@example.org").await;
    let own = client.with_token(text(&web, "access_token"));
    let listed = own.get("/api/v1/auth/sessions").await.expect(200).json();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{listed}");
    let other = sessions.iter().find(|session| session["is_current"] == false).expect("the phone's");
    own.delete(&format!("/api/v1/auth/sessions/{}", text(other, "id"))).await.expect(204);
    own.delete(&format!("/api/v1/auth/sessions/{}", text(other, "id"))).await.expect(404);
    client.with_token(text(&phone, "access_token")).get("/api/v1/users/me").await.expect(401);
    own.get("/api/v1/users/me").await.expect(200);

    let new = "another correct horse";
    let change = |present: &str| json!({"current_password": present, "new_password": new});
    own.post("/api/v1/auth/password", &change("a wrong horse")).await.expect(401);
    own.post("/api/v1/auth/password", &change(PASSWORD)).await.expect(204);
    own.get("/api/v1/users/me").await.expect(401);
    let by_new = json!({"email": "ada@example.org", "password": new});
    let opened = client.post("/api/v1/auth/login", &by_new).await.expect(200).json();

    let known = client.post("/api/v1/auth/forgot", &json!({"email": "ada@example.org"})).await.expect(200);
    let unknown = client.post("/api/v1/auth/forgot", &json!({"email": "eve@example.org"})).await.expect(200);
    assert_eq!(known.text, unknown.text);
    let code = wait_for_code(&server, None).await;
    let reset = json!({"email": "ada@example.org", "otp": code, "password": PASSWORD});
    client.post("/api/v1/auth/reset", &reset).await.expect(204);
    client.post("/api/v1/auth/reset", &reset).await.expect(401);
    client.with_token(text(&opened, "access_token")).get("/api/v1/users/me").await.expect(401);
    client.post("/api/v1/auth/login", &by_new).await.expect(401);
    login(&client, "ada@example.org").await;
}
