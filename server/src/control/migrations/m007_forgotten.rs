//! What is left of an event that its patient took back: its id and its place, so that a feed goes on behind it.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

const TABLES: &str = "
CREATE TABLE forgotten_events (
    id TEXT NOT NULL PRIMARY KEY,
    seq $int NOT NULL,
    created_at $int NOT NULL
) $strict;
CREATE INDEX forgotten_events_by_age ON forgotten_events (created_at);
";

/// The seventh step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m007_forgotten"
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
