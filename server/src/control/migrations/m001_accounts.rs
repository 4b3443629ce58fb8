//! People, sessions, keys, one-time codes, and the counter of what can end a credential.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

const TABLES: &str = "
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('patient', 'doctor')),
    timezone TEXT NOT NULL DEFAULT 'UTC',
    password_hash TEXT,
    created_at $int NOT NULL,
    updated_at $int NOT NULL
) $strict;

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at $int NOT NULL,
    expires_at $int NOT NULL,
    ended_at $int,
    end_reason TEXT
) $strict;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash $bytes NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at $int NOT NULL,
    expires_at $int NOT NULL,
    spent_at $int
) $strict;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash $bytes NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at $int NOT NULL,
    expires_at $int,
    last_used_at $int
) $strict;
CREATE INDEX api_keys_by_user ON api_keys (user_id);

CREATE TABLE otps (
    email_hash $bytes NOT NULL PRIMARY KEY,
    code_hash $bytes NOT NULL,
    expires_at $int NOT NULL,
    tries_left $short NOT NULL,
    window_started_at $int NOT NULL,
    sent_in_window $short NOT NULL
) $strict;
CREATE INDEX otps_by_window ON otps (window_started_at);

CREATE TABLE auth_changes (
    id $short NOT NULL PRIMARY KEY CHECK (id = 1),
    counter $int NOT NULL
) $strict;
INSERT INTO auth_changes (id, counter) VALUES (1, 0);
";

/// What ends a credential or changes what it allows: (trigger, event, table).
const CHANGES: [(&str, &str, &str); 6] = [
    ("users_changed", "UPDATE OF role, password_hash", "users"),
    ("users_deleted", "DELETE", "users"),
    ("sessions_ended", "UPDATE OF ended_at, user_id", "sessions"),
    ("sessions_deleted", "DELETE", "sessions"),
    ("api_keys_changed", "UPDATE OF user_id, hash, scopes, expires_at", "api_keys"),
    ("api_keys_deleted", "DELETE", "api_keys"),
];

const COUNT: &str = "UPDATE auth_changes SET counter = counter + 1 WHERE id = 1;";

/// The first step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m001_accounts"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's macro wants its own spelling")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        database.execute_unprepared(&in_dialect(TABLES, is_postgres)).await?;
        database.execute_unprepared(&triggers(is_postgres)).await?;
        Ok(())
    }
}

/// Triggers keep the counter, so that no statement of ours, of the command line or of an operator can forget it.
fn triggers(is_postgres: bool) -> String {
    let function = format!(
        "CREATE FUNCTION count_auth_change() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN {COUNT} RETURN NULL; END $$;\n"
    );
    let triggers = CHANGES.map(|(trigger, event, table)| {
        let action = if is_postgres {
            "FOR EACH STATEMENT EXECUTE FUNCTION count_auth_change()".to_owned()
        } else {
            format!("BEGIN {COUNT} END")
        };
        format!("CREATE TRIGGER {trigger} AFTER {event} ON {table} {action};\n")
    });
    if is_postgres { function + &triggers.concat() } else { triggers.concat() }
}
