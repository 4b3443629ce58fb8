//! The database on SQLite in a temporary directory, and on PostgreSQL where there is one.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait, Statement};
use storage::ManualClock;

use super::entities::user;
use super::repository::otps::{self, Code};
use super::repository::sessions::{self, End, Spent};
use super::repository::users;
use super::*;
use crate::config::SecretUrl;

/// A moment of 2026.
pub(crate) const NOW_US: i64 = 1_780_000_000_000_000;

/// Statements, in the order in which they were asked.
pub(crate) type Heard = Arc<std::sync::Mutex<Vec<String>>>;

/// An open database and what keeps it.
pub(crate) struct Fixture {
    _dir: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) control: Control,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        Self::open(dir, config).await
    }

    /// On the PostgreSQL server of `AVYCENNA_TEST_POSTGRES`, in a fresh schema; nothing without that variable.
    pub(crate) async fn postgres(schema: &str) -> Option<Self> {
        let Ok(url) = std::env::var("AVYCENNA_TEST_POSTGRES") else {
            eprintln!("SKIPPED: set AVYCENNA_TEST_POSTGRES=postgres://user:password@host/database to test PostgreSQL");
            return None;
        };
        let admin = sea_orm::Database::connect(&url).await.unwrap();
        let name = format!("{schema}_{}", std::process::id());
        admin.execute_unprepared(&format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await.unwrap();
        admin.close().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options=-c%20search_path%3D{name}");
        config.control.database_url = Some(SecretUrl::new(url));
        Some(Self::open(dir, config).await)
    }

    async fn open(dir: tempfile::TempDir, config: Config) -> Self {
        let clock = Arc::new(ManualClock::at(NOW_US));
        let control = Control::open(&config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        Self { _dir: dir, config, clock, control }
    }

    /// The same database, with every statement of it that is asked from now on.
    pub(crate) async fn overheard(mut self) -> (Self, Heard) {
        let open::Opened { mut pool, watch } = open::open(&self.config).await.unwrap();
        let heard = Heard::default();
        let hearing = Arc::clone(&heard);
        pool.set_metric_callback(move |info| hearing.lock().unwrap().push(info.statement.sql.clone()));
        let Inner { turn, wait_max, clock, .. } = &*self.control.inner;
        let (turn, wait_max, clock) = (turn.clone(), *wait_max, Arc::clone(clock));
        self.control = Control { inner: Arc::new(Inner { pool, watch, turn, wait_max, clock }) };
        (self, heard)
    }

    /// A second process on the same database, with a data directory of its own.
    pub(crate) async fn again(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = self.config.clone();
        if config.control.database_url.is_none() {
            let path = self.config.storage.data_dir.join("control.db");
            config.control.database_url = Some(SecretUrl::new(format!("sqlite:{}", path.display())));
        }
        config.secrets.key = config.secrets.key.or_else(|| {
            let file = std::fs::read_to_string(self.config.storage.data_dir.join("secrets.key")).unwrap();
            Some(crate::config::Secret::new(file.lines().last().unwrap()))
        });
        config.storage.data_dir = dir.path().join("data");
        let control = Control::open(&config, Arc::clone(&self.clock) as Arc<dyn Clock>).await.unwrap();
        Self { _dir: dir, config, clock: Arc::clone(&self.clock), control }
    }

    /// A second process's view of the same database.
    pub(crate) async fn other(&self) -> Control {
        Control::open(&self.config, Arc::clone(&self.clock) as Arc<dyn Clock>).await.unwrap()
    }
}

fn ada() -> user::Model {
    user::Model {
        id: "usr_00000001".to_owned(),
        email: "ada@example.org".to_owned(),
        name: "Ada".to_owned(),
        role: "patient".to_owned(),
        timezone: "UTC".to_owned(),
        password_hash: None,
        email_verified_at: None,
        created_at: NOW_US,
        updated_at: NOW_US,
    }
}

async fn insert(control: &Control, user: user::Model) -> Result<()> {
    let write = control.write().await?;
    users::insert(write.on(), user).await?;
    write.commit().await
}

#[tokio::test]
async fn the_settings_that_keep_promises_are_on() {
    let fixture = Fixture::new().await;
    let pragma = async |name: &str| {
        let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
        let row = fixture.control.read().query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index::<String>(0).or_else(|_| row.try_get_by_index::<i64>(0).map(|value| value.to_string()))
    };
    for (name, expected) in
        [("journal_mode", "wal"), ("synchronous", "2"), ("secure_delete", "1"), ("foreign_keys", "1")]
    {
        assert_eq!(pragma(name).await.unwrap(), expected, "{name}");
    }
    insert(&fixture.control, ada()).await.unwrap();
    for entry in std::fs::read_dir(&fixture.config.storage.data_dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again_and_what_was_dropped_is_not() {
    let fixture = Fixture::new().await;
    insert(&fixture.control, ada()).await.unwrap();
    let write = fixture.control.write().await.unwrap();
    users::insert(write.on(), user::Model { id: "usr_00000002".into(), email: "b@example.org".into(), ..ada() })
        .await
        .unwrap();
    drop(write);
    fixture.control.close().await.unwrap();
    let again = fixture.other().await;
    assert_eq!(users::list(again.read(), "").await.unwrap(), [ada()]);
}

#[tokio::test]
async fn a_second_address_is_a_conflict() {
    let fixture = Fixture::new().await;
    insert(&fixture.control, ada()).await.unwrap();
    let error = insert(&fixture.control, user::Model { id: "usr_00000002".into(), ..ada() }).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn processes_that_open_a_new_database_together_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = dir.path().join("data");
    let clock = Arc::new(ManualClock::at(NOW_US));
    let open = || Control::open(&config, Arc::clone(&clock) as Arc<dyn Clock>);
    let (a, b, c) = tokio::join!(open(), open(), open());
    for control in [a.unwrap(), b.unwrap(), c.unwrap()] {
        assert_eq!(control.changes().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_writer_does_not_wait_forever_for_another_process() {
    let mut fixture = Fixture::new().await;
    fixture.config.control.wait_ms_max = 20;
    let held = fixture.control.write().await.unwrap();
    let other = fixture.other().await;
    let error = other.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(held);
    // The rollback happens behind the drop, so the first tries may still find the lock.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while let Err(error) = other.write().await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
    }
}

#[tokio::test]
async fn a_writer_does_not_wait_forever_for_one_of_its_own_process() {
    let mut fixture = Fixture::new().await;
    fixture.config.control.wait_ms_max = 20;
    let control = fixture.other().await;
    let held = control.write().await.unwrap();
    assert!(matches!(control.write().await, Err(Error::Busy { waited_ms: 20 })));
    held.commit().await.unwrap();
    control.write().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = dir.path().join("data");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_US));
    std::fs::write(dir.path().join("data"), "a file").unwrap();
    let error = Control::open(&config, Arc::clone(&clock)).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    let file = dir.path().join("garbage.db");
    std::fs::write(&file, "not a database at all, but long enough to be looked at".repeat(40)).unwrap();
    config.control.database_url = Some(SecretUrl::new(format!("sqlite:{}", file.display())));
    let error = Control::open(&config, clock).await.unwrap_err();
    assert!(matches!(&error, Error::Open { place, .. } if place.ends_with("garbage.db")), "{error}");
}

/// What both databases must do alike.
async fn behaves(fixture: &Fixture) {
    let control = &fixture.control;
    insert(control, ada()).await.unwrap();
    let before = control.changes().await.unwrap();

    // A profile is no credential.
    let write = control.write().await.unwrap();
    users::set_profile(write.on(), &ada().id, Some("A".to_owned()), None, NOW_US + 1).await.unwrap();
    write.commit().await.unwrap();
    let changed = users::by_id(control.read(), &ada().id).await.unwrap().unwrap();
    assert_eq!(changed, user::Model { name: "A".to_owned(), updated_at: NOW_US + 1, ..ada() });
    assert_eq!(control.changes().await.unwrap(), before);

    // A token is spent once; spent again it names its session.
    let write = control.write().await.unwrap();
    sessions::insert(write.on(), "ses_1", &ada().id, NOW_US, NOW_US).await.unwrap();
    sessions::insert_token(write.on(), "ses_1", b"one", NOW_US, NOW_US + 100).await.unwrap();
    write.commit().await.unwrap();
    let spend = async |hash: &[u8], now_us| {
        let write = control.write().await.unwrap();
        let spent = sessions::spend(write.on(), hash, now_us).await.unwrap();
        write.commit().await.unwrap();
        spent
    };
    assert_eq!(spend(b"one", NOW_US + 100).await, Spent::No, "expired");
    assert!(matches!(spend(b"one", NOW_US).await, Spent::Now { .. }));
    assert_eq!(spend(b"one", NOW_US).await, Spent::Before { session_id: "ses_1".to_owned() });
    assert_eq!(spend(b"two", NOW_US).await, Spent::No, "unknown");
    assert_eq!(control.changes().await.unwrap(), before, "none of this ends a credential");

    // The end of a session is a change that every process sees.
    assert!(sessions::owner(control.read(), "ses_1").await.unwrap().is_some());
    let write = control.write().await.unwrap();
    sessions::end_all(write.on(), &ada().id, End::Password, NOW_US).await.unwrap();
    write.commit().await.unwrap();
    assert!(sessions::owner(control.read(), "ses_1").await.unwrap().is_none());
    let after_end = fixture.other().await.changes().await.unwrap();
    assert!(after_end > before);

    // An erased person takes everything along.
    let write = control.write().await.unwrap();
    user::Entity::delete_by_id(ada().id).exec(write.on()).await.unwrap();
    write.commit().await.unwrap();
    assert!(control.changes().await.unwrap() > after_end);
    assert_eq!(entities::session::Entity::find().count(control.read()).await.unwrap(), 0);
    assert_eq!(entities::refresh_token::Entity::find().count(control.read()).await.unwrap(), 0);
    codes_behave(control).await;
}

async fn codes_behave(control: &Control) {
    let code = |hash: &[u8]| Code {
        email_hash: b"address".to_vec(),
        code_hash: hash.to_vec(),
        expires_at: NOW_US + 100,
        tries: 2,
        per_window_max: 2,
    };
    let write = control.write().await.unwrap();
    let on = write.on();
    assert!(otps::replace(on, code(b"first"), NOW_US).await.unwrap());
    assert_eq!(otps::take_try(on, b"address", NOW_US).await.unwrap().unwrap().code_hash, b"first");
    assert!(otps::replace(on, code(b"second"), NOW_US).await.unwrap());
    assert!(!otps::replace(on, code(b"third"), NOW_US).await.unwrap(), "the hour's codes are used up");
    assert!(otps::take_try(on, b"address", NOW_US + 100).await.unwrap().is_none(), "expired");
    assert!(otps::take_try(on, b"other", NOW_US).await.unwrap().is_none(), "unknown");
    assert_eq!(otps::take_try(on, b"address", NOW_US).await.unwrap().unwrap().code_hash, b"second");
    assert!(otps::take_try(on, b"address", NOW_US).await.unwrap().is_some());
    assert!(otps::take_try(on, b"address", NOW_US).await.unwrap().is_none(), "no try is left");
    let later = NOW_US + otps::WINDOW_US;
    assert!(otps::replace(on, Code { expires_at: later + 100, ..code(b"fourth") }, later).await.unwrap());
    otps::end(on, b"address").await.unwrap();
    assert!(otps::take_try(on, b"address", later).await.unwrap().is_none(), "it was used");
    otps::sweep(on, later + otps::WINDOW_US + 1).await.unwrap();
    assert_eq!(entities::otp::Entity::find().count(on).await.unwrap(), 0);
    write.commit().await.unwrap();
}

#[tokio::test]
async fn of_accounts_of_before_those_without_a_password_are_known_to_be_their_owners() {
    use sea_orm_migration::MigratorTrait as _;
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    // A second connection would be a second database.
    options.max_connections(1).min_connections(1);
    let database = sea_orm::Database::connect(options).await.unwrap();
    migrations::Migrator::up(&database, Some(5)).await.unwrap();
    let rows = "INSERT INTO users VALUES ('usr_00000001', 'a@example.org', 'A', 'patient', 'UTC', NULL, 7, 8),
        ('usr_00000002', 'b@example.org', 'B', 'patient', 'UTC', '$argon2id$', 7, 8)";
    database.execute_unprepared(rows).await.unwrap();
    migrations::Migrator::up(&database, None).await.unwrap();
    let found = users::list(&database, "").await.unwrap();
    assert_eq!(found.iter().map(|user| user.email_verified_at).collect::<Vec<_>>(), [Some(7), None]);
}

#[tokio::test]
async fn sqlite_does_what_the_repositories_promise() {
    behaves(&Fixture::new().await).await;
}

#[tokio::test]
async fn postgresql_does_what_the_repositories_promise() {
    if let Some(fixture) = Fixture::postgres("avycenna_test").await {
        behaves(&fixture).await;
    }
}
