//! The key of the ids by which FHIR names observations: one row, made when it is first needed and never changed.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

const TABLES: &str = "
CREATE TABLE fhir_keys (
    id $short NOT NULL PRIMARY KEY CHECK (id = 1),
    key $bytes NOT NULL
) $strict;
";

/// The eleventh step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m011_fhir"
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
