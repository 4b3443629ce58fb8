//! Accounts, sessions, codes and keys, end to end on a temporary database.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

use super::watch::Watch;
use super::*;
use crate::control::entities::{otp as otp_row, session};
use crate::control::repository::users;
use crate::control::tests::{Fixture as Database, NOW_US};
use crate::mail::Mailer;
use sea_orm::EntityTrait;

struct Fixture {
    database: Database,
    auth: Auth,
}

const PASSWORD: &str = "correct horse";

impl Fixture {
    async fn new() -> Self {
        Self::of(Database::new().await)
    }

    fn of(database: Database) -> Self {
        let auth = Auth::open_unwatched(&database.config, database.control.clone()).unwrap();
        Self { database, auth }
    }

    async fn register(&self, email: &str) -> UserId {
        let (name, password) = ("Ada".to_owned(), Some(PASSWORD.to_owned()));
        let new = NewUser { name, email: email.to_owned(), password, role: Role::Patient };
        UserId::parse(&self.auth.register(new).await.unwrap().id).unwrap()
    }

    async fn login(&self, email: &str, password: &str) -> Result<Grant, AuthError> {
        self.auth.login(email, password.to_owned()).await
    }

    async fn key(&self, user: UserId, expires_at: Option<i64>) -> (String, String) {
        let new = NewKey { name: "k".to_owned(), scopes: Scopes::ALL, expires_at };
        let (row, key) = self.auth.create_key(user.as_str(), new).await.unwrap();
        (row.id, key)
    }

    async fn by_token(&self, token: &str) -> Result<Principal, AuthError> {
        self.auth.authenticate(&headers("authorization", &format!("Bearer {token}"))).await
    }

    async fn by_key(&self, key: &str) -> Result<Principal, AuthError> {
        self.auth.authenticate(&headers("x-api-key", key)).await
    }

    /// Sends a code and reads it from the mail file.
    async fn code(&self, email: &str) -> Option<String> {
        let mailer = Mailer::open(&self.database.config).unwrap();
        self.auth.send_code(email, &mailer).await.unwrap();
        mailer.close().await;
        let path = self.database.config.storage.data_dir.join(crate::mail::FILE_NAME);
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().rev().find(|line| line.contains("is your avycenna login code"))?;
        Some(line[..6].to_owned())
    }
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

#[tokio::test]
async fn a_login_opens_and_its_logout_closes_at_once() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let grant = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    assert_eq!(grant.expires_in_s, 900);
    assert!(grant.refresh_token.starts_with("rt_"));
    let principal = fixture.by_token(&grant.access_token).await.unwrap();
    assert_eq!((principal.user, principal.role), (user, Role::Patient));
    fixture.auth.logout(&grant.refresh_token).await.unwrap();
    assert!(matches!(fixture.by_token(&grant.access_token).await, Err(AuthError::Invalid)));
    assert!(matches!(fixture.auth.refresh(&grant.refresh_token).await, Err(AuthError::Invalid)));
    fixture.auth.logout("rt_unknown").await.unwrap();
}

#[tokio::test]
async fn a_logout_closes_its_own_session_alone() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let phone = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let web = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    fixture.auth.logout(&phone.refresh_token).await.unwrap();
    assert!(fixture.by_token(&phone.access_token).await.is_err());
    assert!(fixture.by_token(&web.access_token).await.is_ok());
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let without = NewUser { name: "B".into(), email: "b@example.org".into(), password: None, role: Role::Doctor };
    fixture.auth.register(without).await.unwrap();
    let mut answers = Vec::new();
    for email in ["ada@example.org", "nobody@example.org", "b@example.org"] {
        let error = fixture.login(email, "wrong password").await.unwrap_err();
        assert!(matches!(error, AuthError::Wrong));
        answers.push(error.to_string());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]));
}

#[tokio::test]
async fn a_second_account_of_an_address_is_a_conflict() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let new = NewUser { name: "A".into(), email: "ada@example.org".into(), password: None, role: Role::Patient };
    let error = fixture.auth.register(new).await.unwrap_err();
    assert!(matches!(error, AuthError::Control(crate::control::Error::Conflict { .. })), "{error}");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_spent_one_ends_the_family() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let other = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let first = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let second = fixture.auth.refresh(&first.refresh_token).await.unwrap();
    let third = fixture.auth.refresh(&second.refresh_token).await.unwrap();
    assert!(fixture.by_token(&first.access_token).await.is_ok(), "access tokens live to their end");
    assert!(matches!(fixture.auth.refresh(&first.refresh_token).await, Err(AuthError::Invalid)));
    assert!(
        matches!(fixture.auth.refresh(&third.refresh_token).await, Err(AuthError::Invalid)),
        "the family has ended"
    );
    assert!(fixture.by_token(&third.access_token).await.is_err());
    assert!(fixture.auth.refresh(&other.refresh_token).await.is_ok(), "another login goes on");
}

#[tokio::test]
async fn of_two_uses_of_a_refresh_token_at_once_one_is_the_thief_s() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let grant = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let (a, b) = tokio::join!(fixture.auth.refresh(&grant.refresh_token), fixture.auth.refresh(&grant.refresh_token));
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    let winner = a.or(b).unwrap();
    assert!(fixture.auth.refresh(&winner.refresh_token).await.is_err(), "nobody knows who the owner is");
}

#[tokio::test]
async fn a_refresh_token_lives_thirty_days_from_its_making() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let grant = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let day = Duration::from_hours(24);
    fixture.database.clock.advance(29 * day);
    assert!(matches!(fixture.by_token(&grant.access_token).await, Err(AuthError::Invalid)));
    let grant = fixture.auth.refresh(&grant.refresh_token).await.unwrap();
    fixture.database.clock.advance(30 * day);
    assert!(matches!(fixture.auth.refresh(&grant.refresh_token).await, Err(AuthError::Invalid)));
}

#[tokio::test]
async fn a_new_password_ends_every_session_at_once() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let grant = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    assert!(fixture.by_token(&grant.access_token).await.is_ok());
    fixture.auth.set_password(user.as_str(), "another password".to_owned()).await.unwrap();
    assert!(fixture.by_token(&grant.access_token).await.is_err());
    assert!(fixture.auth.refresh(&grant.refresh_token).await.is_err());
    assert!(fixture.login("ada@example.org", PASSWORD).await.is_err());
    assert!(fixture.login("ada@example.org", "another password").await.is_ok());
}

#[tokio::test]
async fn a_code_works_once() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let code = fixture.code("ada@example.org").await.unwrap();
    let grant = fixture.auth.verify_code("ada@example.org", &code).await.unwrap();
    assert_eq!(grant.user.id, user.as_str());
    assert!(fixture.by_token(&grant.access_token).await.is_ok());
    assert!(matches!(fixture.auth.verify_code("ada@example.org", &code).await, Err(AuthError::Wrong)));
}

#[tokio::test]
async fn a_code_ends_after_five_wrong_tries_and_after_ten_minutes() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let code = fixture.code("ada@example.org").await.unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..4 {
        assert!(matches!(fixture.auth.verify_code("ada@example.org", wrong).await, Err(AuthError::Wrong)));
    }
    assert!(fixture.auth.verify_code("ada@example.org", &code).await.is_ok(), "the fifth try is one");
    let code = fixture.code("ada@example.org").await.unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        assert!(matches!(fixture.auth.verify_code("ada@example.org", wrong).await, Err(AuthError::Wrong)));
    }
    assert!(matches!(fixture.auth.verify_code("ada@example.org", &code).await, Err(AuthError::Wrong)), "none is left");
    let code = fixture.code("ada@example.org").await.unwrap();
    fixture.database.clock.advance(Duration::from_mins(10));
    assert!(matches!(fixture.auth.verify_code("ada@example.org", &code).await, Err(AuthError::Wrong)), "too late");
}

#[tokio::test]
async fn a_newer_code_takes_the_place_of_the_earlier_one() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let first = fixture.code("ada@example.org").await.unwrap();
    let mut second = fixture.code("ada@example.org").await.unwrap();
    while second == first {
        second = fixture.code("ada@example.org").await.unwrap();
    }
    assert!(fixture.auth.verify_code("ada@example.org", &first).await.is_err());
    assert!(fixture.auth.verify_code("ada@example.org", &second).await.is_ok());
}

#[tokio::test]
async fn an_address_without_an_account_costs_the_same_and_gets_no_mail() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    assert_eq!(fixture.code("nobody@example.org").await, None);
    let rows = otp_row::Entity::find().all(fixture.database.control.read()).await.unwrap();
    assert_eq!(rows.len(), 1, "a row is written for an unknown address, too");
    let unknown = fixture.auth.verify_code("nobody@example.org", "000000").await.unwrap_err();
    fixture.code("ada@example.org").await.unwrap();
    let rows = otp_row::Entity::find().all(fixture.database.control.read()).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows.iter().filter(|row| row.tries_left == 4).count(), 1, "a try is taken for an unknown address, too");
    let known = fixture.auth.verify_code("ada@example.org", "      ").await.unwrap_err();
    assert_eq!(unknown.to_string(), known.to_string());
}

#[tokio::test]
async fn an_address_gets_ten_codes_an_hour() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let mailer = Mailer::open(&fixture.database.config).unwrap();
    for _ in 0..12 {
        fixture.auth.send_code("ada@example.org", &mailer).await.unwrap();
    }
    mailer.close().await;
    let path = fixture.database.config.storage.data_dir.join(crate::mail::FILE_NAME);
    assert_eq!(std::fs::read_to_string(path).unwrap().matches("\nSubject: ").count(), 10);
}

#[tokio::test]
async fn a_key_opens_until_it_is_deleted() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let mut watch = Watch::default();
    watch.look(&fixture.auth).await;
    let (id, key) = fixture.key(user, None).await;
    for _ in 0..2 {
        let principal = fixture.by_key(&key).await.unwrap();
        assert_eq!(principal.user, user);
        assert!(matches!(&principal.means, Means::Key { id: found, .. } if **found == *id));
    }
    assert!(!fixture.auth.delete_key("usr_somebody", &id).await.unwrap(), "somebody else's key");
    assert!(fixture.by_key(&key).await.is_ok());
    assert!(fixture.auth.delete_key(user.as_str(), &id).await.unwrap());
    assert!(matches!(fixture.by_key(&key).await, Err(AuthError::Invalid)));
    assert!(!fixture.auth.revoke_key(&id).await.unwrap());
}

#[tokio::test]
async fn a_key_expires_while_it_is_remembered() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let (_, key) = fixture.key(user, Some(NOW_US + 500_000)).await;
    Watch::default().look(&fixture.auth).await;
    assert!(fixture.by_key(&key).await.is_ok());
    fixture.database.clock.advance(Duration::from_millis(499));
    assert!(fixture.by_key(&key).await.is_ok());
    fixture.database.clock.advance(Duration::from_millis(1));
    assert!(matches!(fixture.by_key(&key).await, Err(AuthError::Invalid)));
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_to_the_hour() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let (_, key) = fixture.key(user, None).await;
    Watch::default().look(&fixture.auth).await;
    let used = |fixture: &Fixture| fixture.auth.inner.used.lock().unwrap().len();
    fixture.by_key(&key).await.unwrap();
    assert_eq!(used(&fixture), 1);
    watch::note_uses(&fixture.auth).await.unwrap();
    assert_eq!(used(&fixture), 0);
    let rows = api_keys::of_user(fixture.database.control.read(), user.as_str()).await.unwrap();
    assert_eq!(rows[0].last_used_at, Some(NOW_US));
    fixture.by_key(&key).await.unwrap();
    assert_eq!(used(&fixture), 0, "once an hour is enough");
}

#[tokio::test]
async fn what_another_process_ends_is_refused_after_the_next_look_and_after_a_second_in_any_case() {
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let mut watch = Watch::default();
    let (id, key) = fixture.key(user, None).await;
    let grant = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    watch.look(&fixture.auth).await;
    assert!(fixture.by_key(&key).await.is_ok() && fixture.by_token(&grant.access_token).await.is_ok());

    let other = Auth::open_unwatched(&fixture.database.config, fixture.database.other().await).unwrap();
    other.revoke_key(&id).await.unwrap();
    assert!(fixture.by_key(&key).await.is_ok(), "remembered until the next look");
    watch.look(&fixture.auth).await;
    assert!(fixture.by_key(&key).await.is_err());

    assert!(fixture.by_token(&grant.access_token).await.is_ok());
    other.logout(&grant.refresh_token).await.unwrap();
    assert!(fixture.by_token(&grant.access_token).await.is_ok(), "remembered while the look holds");
    fixture.database.clock.advance(cache::LOOK_HOLDS);
    assert!(fixture.by_token(&grant.access_token).await.is_err(), "nobody has looked: the database is asked");
}

#[tokio::test]
async fn changes_made_by_hand_in_the_database_are_seen_too() {
    use sea_orm::ConnectionTrait;
    let fixture = Fixture::new().await;
    let user = fixture.register("ada@example.org").await;
    let mut watch = Watch::default();
    let (_, key) = fixture.key(user, None).await;
    watch.look(&fixture.auth).await;
    assert!(fixture.by_key(&key).await.unwrap().can_write());
    let other = fixture.database.other().await;
    other.read().execute_unprepared("UPDATE api_keys SET scopes = 'read'").await.unwrap();
    watch.look(&fixture.auth).await;
    assert!(!fixture.by_key(&key).await.unwrap().can_write());
}

#[tokio::test]
async fn the_task_that_watches_ends_with_the_last_clone() {
    let database = Database::new().await;
    let auth = Auth::open(&database.config, database.control.clone()).unwrap();
    let weak = Arc::downgrade(&auth.inner);
    drop(auth);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while weak.strong_count() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the task holds on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn headers_that_say_nothing_or_nonsense_are_refused() {
    let fixture = Fixture::new().await;
    assert!(matches!(fixture.auth.authenticate(&HeaderMap::new()).await, Err(AuthError::Missing)));
    for (name, value) in [
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", "Basic YTpi"),
        ("authorization", "Bearer a.b.c"),
        ("x-api-key", ""),
        ("x-api-key", "avk_0000000000000000000000000000000000000000"),
    ] {
        let result = fixture.auth.authenticate(&headers(name, value)).await;
        assert!(matches!(result, Err(AuthError::Invalid)), "{name}: {value}");
    }
}

#[tokio::test]
async fn expired_sessions_are_swept_and_living_ones_stay() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    fixture.login("ada@example.org", PASSWORD).await.unwrap();
    fixture.database.clock.advance(Duration::from_hours(31 * 24 + 1));
    let living = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    watch::sweep(&fixture.auth).await.unwrap();
    assert_eq!(session::Entity::find().all(fixture.database.control.read()).await.unwrap().len(), 1);
    assert!(fixture.auth.refresh(&living.refresh_token).await.is_ok());
}

/// Asks for a code for a new password and reads it from the mail file.
async fn reset_code(fixture: &Fixture, email: &str) -> Option<String> {
    let mailer = Mailer::open(&fixture.database.config).unwrap();
    fixture.auth.send_reset_code(email, &mailer).await.unwrap();
    mailer.close().await;
    let path = fixture.database.config.storage.data_dir.join(crate::mail::FILE_NAME);
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().rev().find(|line| line.contains("code for a new password. It"))?;
    Some(line[..6].to_owned())
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_a_code_once_and_every_session_ends() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let open = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    assert_eq!(reset_code(&fixture, "nobody@example.org").await, None);
    let code = reset_code(&fixture, "ada@example.org").await.unwrap();
    let reset =
        async |email: &str, code: &str| fixture.auth.reset_password(email, code, "new password".to_owned()).await;
    let login = fixture.code("ada@example.org").await.unwrap();
    if login != code {
        assert!(matches!(reset("ada@example.org", &login).await, Err(AuthError::Wrong)), "a login code is none");
        let by_login = fixture.auth.verify_code("ada@example.org", &code).await;
        assert!(matches!(by_login, Err(AuthError::Wrong)), "nor the other way round");
    }
    assert!(matches!(reset("nobody@example.org", &code).await, Err(AuthError::Wrong)));
    assert!(fixture.by_token(&open.access_token).await.is_ok());
    reset("ada@example.org", &code).await.unwrap();
    assert!(matches!(reset("ada@example.org", &code).await, Err(AuthError::Wrong)), "it works once");
    assert!(fixture.by_token(&open.access_token).await.is_err());
    assert!(fixture.auth.refresh(&open.refresh_token).await.is_err());
    assert!(fixture.login("ada@example.org", PASSWORD).await.is_err());
    assert!(fixture.login("ada@example.org", "new password").await.is_ok());
}

#[tokio::test]
async fn a_password_is_changed_by_the_present_one_alone() {
    let fixture = Fixture::new().await;
    fixture.register("ada@example.org").await;
    let open = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let asking = fixture.by_token(&open.access_token).await.unwrap();
    let change = async |present: &str| {
        fixture.auth.change_password(&asking, present.to_owned(), "new password".to_owned()).await
    };
    assert!(matches!(change("wrong password").await, Err(AuthError::Wrong)));
    assert!(fixture.by_token(&open.access_token).await.is_ok());
    change(PASSWORD).await.unwrap();
    assert!(fixture.by_token(&open.access_token).await.is_err());
    assert!(fixture.login("ada@example.org", "new password").await.is_ok());
}

/// A change whose password was right when it was looked at, and that writes once something else has happened.
async fn a_late_change_is_refused(fixture: &Fixture) {
    let user = fixture.register("ada@example.org").await;
    let open = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let asking = fixture.by_token(&open.access_token).await.unwrap();
    let verified = async || users::by_id(fixture.database.control.read(), user.as_str()).await.unwrap().unwrap();
    let before = verified().await.password_hash;
    fixture.auth.set_password(user.as_str(), "by a reset".to_owned()).await.unwrap();
    let late = fixture.auth.replace_password(&asking, before, "hash").await;
    assert!(matches!(late, Err(AuthError::Invalid)), "the session has ended: {late:?}");
    let open = fixture.login("ada@example.org", "by a reset").await.unwrap();
    let asking = fixture.by_token(&open.access_token).await.unwrap();
    let late = fixture.auth.replace_password(&asking, Some("of another time".to_owned()), "hash").await;
    assert!(matches!(late, Err(AuthError::Wrong)), "another password was looked at: {late:?}");
    assert!(fixture.login("ada@example.org", "by a reset").await.is_ok());
}

#[tokio::test]
async fn a_change_of_password_does_not_undo_a_reset_that_came_meanwhile() {
    a_late_change_is_refused(&Fixture::new().await).await;
}

#[tokio::test]
async fn nor_does_it_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_change").await {
        a_late_change_is_refused(&Fixture::of(database)).await;
    }
}

#[tokio::test]
async fn a_person_ends_one_of_their_own_sessions_and_no_other() {
    let fixture = Fixture::new().await;
    let (ada, eve) = (fixture.register("ada@example.org").await, fixture.register("eve@example.org").await);
    let phone = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    fixture.database.clock.advance(Duration::from_secs(1));
    let web = fixture.login("ada@example.org", PASSWORD).await.unwrap();
    let open = async || {
        let (control, now_us) = (&fixture.database.control, fixture.database.control.now_us());
        let rows = sessions::of_user(control.read(), ada.as_str(), now_us).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let sessions = open().await;
    assert_eq!(sessions.len(), 2);
    assert!(!fixture.auth.end_session(eve.as_str(), &sessions[1]).await.unwrap());
    assert!(fixture.auth.end_session(ada.as_str(), &sessions[1]).await.unwrap());
    assert!(!fixture.auth.end_session(ada.as_str(), &sessions[1]).await.unwrap(), "it has ended");
    assert!(fixture.by_token(&phone.access_token).await.is_err());
    assert!(fixture.by_token(&web.access_token).await.is_ok());
    assert_eq!(open().await, sessions[..1]);
}
