//! The schema, step by step. A step that was released never changes; the next one is added behind it.

mod m001_accounts;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All steps, the oldest first.
pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m001_accounts::Migration)]
    }
}
