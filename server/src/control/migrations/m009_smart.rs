//! SMART backend services and Bulk Data: clients, the assertions that they have spent, trails that say `client`; exports
//! that were asked for, and their files.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

/// An assertion is known by the hash of its client and its id, until it would be refused by its own time.
const TABLES: &str = "
CREATE TABLE smart_clients (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    jwks TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at $int NOT NULL
) $strict;
CREATE INDEX smart_clients_by_user ON smart_clients (user_id, created_at, id);

CREATE TABLE smart_assertions (
    hash $bytes NOT NULL PRIMARY KEY,
    expires_at $int NOT NULL
) $strict;
CREATE INDEX smart_assertions_by_expiry ON smart_assertions (expires_at);

CREATE TABLE bulk_jobs (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id TEXT REFERENCES smart_clients (id) ON DELETE CASCADE,
    place TEXT NOT NULL,
    request TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('own', 'granted')),
    types TEXT NOT NULL,
    since $int,
    status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    error TEXT,
    after_patient TEXT NOT NULL,
    patients_total $int NOT NULL,
    patients_done $int NOT NULL,
    stepped_at $int NOT NULL,
    created_at $int NOT NULL,
    ended_at $int
) $strict;
CREATE INDEX bulk_jobs_by_user ON bulk_jobs (user_id);
CREATE INDEX bulk_jobs_by_client ON bulk_jobs (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX bulk_jobs_by_turn ON bulk_jobs (place, status, stepped_at, id);

CREATE TABLE bulk_files (
    job_id TEXT NOT NULL REFERENCES bulk_jobs (id) ON DELETE CASCADE,
    seq $int NOT NULL,
    patient_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    part TEXT NOT NULL CHECK (part IN ('patient', 'points', 'check_ins')),
    resources $int NOT NULL,
    bytes $int NOT NULL,
    PRIMARY KEY (job_id, seq)
) $strict;
CREATE INDEX bulk_files_by_patient ON bulk_files (patient_id);
";

/// A client that is removed or may do less ends what its tokens are good for.
const CHANGES: [(&str, &str); 2] =
    [("smart_clients_changed", "UPDATE OF user_id, scopes"), ("smart_clients_deleted", "DELETE")];

/// SQLite cannot change a check: the table is written anew, with the same columns in the same order.
const SQLITE_TRAIL: &str = "
CREATE TABLE audit_records_new (
    patient_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor_id TEXT NOT NULL,
    means TEXT NOT NULL CHECK (means IN ('token', 'key', 'client')),
    means_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    what TEXT NOT NULL,
    metric TEXT,
    range_start INTEGER,
    range_end INTEGER,
    address TEXT NOT NULL,
    prev_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (patient_id, seq)
) STRICT;
INSERT INTO audit_records_new SELECT * FROM audit_records;
DROP TABLE audit_records;
ALTER TABLE audit_records_new RENAME TO audit_records;
";

const POSTGRES_TRAIL: &str = "
ALTER TABLE audit_records DROP CONSTRAINT audit_records_means_check;
ALTER TABLE audit_records ADD CONSTRAINT audit_records_means_check CHECK (means IN ('token', 'key', 'client'));
";

/// The ninth step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m009_smart"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's macro wants its own spelling")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        database.execute_unprepared(&in_dialect(TABLES, is_postgres)).await?;
        for (trigger, event) in CHANGES {
            let action = if is_postgres {
                "FOR EACH STATEMENT EXECUTE FUNCTION count_auth_change()"
            } else {
                "BEGIN UPDATE auth_changes SET counter = counter + 1 WHERE id = 1; END"
            };
            let sql = format!("CREATE TRIGGER {trigger} AFTER {event} ON smart_clients {action};");
            database.execute_unprepared(&sql).await?;
        }
        database.execute_unprepared(if is_postgres { POSTGRES_TRAIL } else { SQLITE_TRAIL }).await?;
        Ok(())
    }
}
