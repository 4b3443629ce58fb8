//! Webhooks: endpoints, the events of the outbox, and what became of each at each endpoint.
//!
//! Every index is written with every event, in the transaction of somebody's check-in: there are no more than are needed.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

const TABLES: &str = "
CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    description TEXT,
    secret $bytes NOT NULL,
    old_secret $bytes,
    old_secret_until $int,
    disabled_at $int,
    disabled_by TEXT CHECK (disabled_by IN ('owner', 'gone', 'failing')),
    failing_since $int,
    lease_owner TEXT,
    lease_until $int NOT NULL DEFAULT 0,
    created_at $int NOT NULL,
    updated_at $int NOT NULL
) $strict;
CREATE INDEX webhooks_by_user ON webhooks (user_id, created_at, id);
CREATE INDEX webhooks_by_lease ON webhooks (lease_owner) WHERE lease_owner IS NOT NULL;

CREATE TABLE events (
    seq $serial,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    patient_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    subject_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at $int NOT NULL
) $strict;
CREATE INDEX events_by_patient ON events (patient_id);

CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_seq $int NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    origin TEXT NOT NULL CHECK (origin IN ('event', 'replay', 'test')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'dropped', 'withdrawn')),
    tries $short NOT NULL,
    due_at $int NOT NULL,
    tried_at $int,
    status_code $short,
    latency_ms $int,
    answer TEXT,
    error TEXT,
    created_at $int NOT NULL
) $strict;
CREATE INDEX deliveries_due ON deliveries (webhook_id, due_at, event_seq) WHERE status = 'pending';
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, event_seq);
CREATE INDEX deliveries_by_event ON deliveries (event_seq);
";

/// The fourth step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m004_webhooks"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's macro wants its own spelling")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sea_orm::ConnectionTrait;
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        // What SQLite gave away once is given to no other row, as on PostgreSQL: feeds are read behind a number.
        let serial = if is_postgres {
            "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        } else {
            "INTEGER PRIMARY KEY AUTOINCREMENT"
        };
        let tables = TABLES.replace("$serial", serial);
        manager.get_connection().execute_unprepared(&in_dialect(&tables, is_postgres)).await?;
        Ok(())
    }
}
