//! Nights of sleep: which take the place of which.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

const TABLES: &str = "
CREATE TABLE nights (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sender TEXT NOT NULL,
    ended_at $int NOT NULL,
    began_at $int NOT NULL,
    source TEXT NOT NULL,
    device TEXT NOT NULL,
    told_at $int NOT NULL,
    rank $short NOT NULL,
    asleep_h $real NOT NULL,
    deep_h $real,
    rem_h $real,
    hrv_ms $real,
    is_stored $short NOT NULL CHECK (is_stored IN (0, 1)),
    CHECK (began_at < ended_at),
    PRIMARY KEY (user_id, sender, ended_at, began_at, source, device, told_at)
) $strict;
";

/// The thirteenth step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m013_nights"
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
