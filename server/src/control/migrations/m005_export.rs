//! What an export walks through, in the order in which it was made: that never changes, while rows are edited.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

const INDEXES: &str = "
CREATE INDEX check_ins_by_making ON check_ins (user_id, created_at, id);
CREATE INDEX symptoms_by_making ON symptoms (user_id, created_at, id);
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at, id);
";

/// The fifth step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m005_export"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's macro wants its own spelling")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sea_orm::ConnectionTrait;
        manager.get_connection().execute_unprepared(INDEXES).await?;
        Ok(())
    }
}
