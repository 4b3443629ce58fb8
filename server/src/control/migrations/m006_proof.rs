//! Whether somebody has shown that an account's address is theirs.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

/// Whoever has no password came in by a code to the address, or not at all. Of the others nothing is known.
const COLUMN: &str = "
ALTER TABLE users ADD COLUMN email_verified_at $int;
UPDATE users SET email_verified_at = created_at WHERE password_hash IS NULL;
";

/// The sixth step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m006_proof"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's macro wants its own spelling")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sea_orm::ConnectionTrait;
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        manager.get_connection().execute_unprepared(&in_dialect(COLUMN, is_postgres)).await?;
        Ok(())
    }
}
