//! Erasures that are not finished.

use sea_orm::entity::prelude::*;

/// One row of `erasures`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasures")]
pub struct Model {
    /// Who.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// By which address the mail file names them.
    pub email: String,
    /// When the account went.
    pub asked_at: i64,
}

impl std::fmt::Debug for Model {
    /// Without the address, which nobody may log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
