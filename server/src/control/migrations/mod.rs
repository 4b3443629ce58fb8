//! The schema, step by step. A step that was released never changes; the next one is added behind it.

mod m001_accounts;
mod m002_sharing;
mod m003_erasure;
mod m004_webhooks;
mod m005_export;
mod m006_proof;
mod m007_forgotten;
mod m008_imports;
mod m009_smart;
mod m010_notices;
mod m011_fhir;
mod m012_sql;
mod m013_nights;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All steps, the oldest first.
pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m001_accounts::Migration),
            Box::new(m002_sharing::Migration),
            Box::new(m003_erasure::Migration),
            Box::new(m004_webhooks::Migration),
            Box::new(m005_export::Migration),
            Box::new(m006_proof::Migration),
            Box::new(m007_forgotten::Migration),
            Box::new(m008_imports::Migration),
            Box::new(m009_smart::Migration),
            Box::new(m010_notices::Migration),
            Box::new(m011_fhir::Migration),
            Box::new(m012_sql::Migration),
            Box::new(m013_nights::Migration),
        ]
    }
}

/// Statements in the words of a database: `$int`, `$short`, `$real`, `$bytes` and `$strict` are what differs.
fn in_dialect(statements: &str, is_postgres: bool) -> String {
    let words = if is_postgres {
        [("$int", "BIGINT"), ("$short", "INTEGER"), ("$real", "DOUBLE PRECISION"), ("$bytes", "BYTEA"), ("$strict", "")]
    } else {
        [("$int", "INTEGER"), ("$short", "INTEGER"), ("$real", "REAL"), ("$bytes", "BLOB"), ("$strict", "STRICT")]
    };
    words.iter().fold(statements.to_owned(), |sql, (word, replacement)| sql.replace(word, replacement))
}
