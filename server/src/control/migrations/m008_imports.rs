//! Imports: jobs that read files, and what totals of days are made of.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

const TABLES: &str = "
CREATE TABLE imports (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    server TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('apple_health', 'garmin')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'partial', 'failed', 'canceled')),
    bytes $int NOT NULL,
    bytes_read $int NOT NULL,
    calls_taken $int NOT NULL,
    report TEXT NOT NULL,
    error TEXT,
    created_at $int NOT NULL,
    updated_at $int NOT NULL
) $strict;
CREATE INDEX imports_by_user ON imports (user_id, created_at, id);
CREATE INDEX imports_waiting ON imports (server, created_at, id) WHERE status IN ('queued', 'running', 'canceled');

CREATE TABLE day_pieces (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sender TEXT NOT NULL,
    daily TEXT NOT NULL CHECK (daily IN ('steps', 'calories')),
    day $int NOT NULL,
    source TEXT NOT NULL,
    device TEXT NOT NULL,
    pieces $bytes NOT NULL,
    is_settled $short NOT NULL CHECK (is_settled IN (0, 1)),
    PRIMARY KEY (user_id, sender, daily, day, source, device)
) $strict;
CREATE INDEX day_pieces_unsettled ON day_pieces (user_id, sender, daily, day) WHERE is_settled = 0;

CREATE TABLE day_totals (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sender TEXT NOT NULL,
    daily TEXT NOT NULL CHECK (daily IN ('steps', 'calories')),
    day $int NOT NULL,
    start $int NOT NULL,
    value $real NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('maker', 'pieces')),
    PRIMARY KEY (user_id, sender, daily, day)
) $strict;

CREATE TABLE source_priorities (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sources TEXT NOT NULL
) $strict;
";

/// The eighth step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m008_imports"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's macro wants its own spelling")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sea_orm::ConnectionTrait;
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        manager.get_connection().execute_unprepared(&in_dialect(TABLES, is_postgres)).await?;
        Ok(())
    }
}
