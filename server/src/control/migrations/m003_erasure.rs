//! Erasures that are not finished: the account is gone, points and mail file may still name the person.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

/// `erasures` names people without referring to them: it is written when their row goes, and goes itself when nothing
/// is left to do.
const TABLES: &str = "
CREATE TABLE erasures (
    user_id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    asked_at $int NOT NULL
) $strict;
";

/// The third step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m003_erasure"
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
