//! Check-ins, symptoms, grants, and the trail of who read what.

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::in_dialect;

/// `audit_records` and `audit_heads` name people without referring to them: a trail outlives the account it speaks of.
const TABLES: &str = "
CREATE TABLE check_ins (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    mood $short NOT NULL CHECK (mood BETWEEN 1 AND 5),
    energy $short NOT NULL CHECK (energy BETWEEN 1 AND 5),
    focus $short NOT NULL CHECK (focus BETWEEN 1 AND 5),
    sleep_hours $real,
    steps $short,
    note TEXT,
    checked_in_at $int NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('mobile', 'web', 'api')),
    created_at $int NOT NULL,
    updated_at $int NOT NULL
) $strict;
CREATE INDEX check_ins_by_user ON check_ins (user_id, checked_in_at, id);

CREATE TABLE symptoms (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('mild', 'moderate', 'severe', 'critical')),
    onset_at $int NOT NULL,
    resolved_at $int,
    notes TEXT,
    created_at $int NOT NULL,
    updated_at $int NOT NULL
) $strict;
CREATE INDEX symptoms_by_user ON symptoms (user_id, onset_at, id);

CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    doctor_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    patient_email TEXT NOT NULL,
    patient_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    permissions TEXT NOT NULL,
    message TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'active', 'declined', 'revoked', 'expired')),
    created_at $int NOT NULL,
    accepted_at $int,
    ended_at $int,
    expires_at $int,
    CHECK (status <> 'active' OR patient_id IS NOT NULL)
) $strict;
CREATE UNIQUE INDEX grants_one_pending ON grants (doctor_id, patient_email) WHERE status = 'pending';
CREATE UNIQUE INDEX grants_one_active ON grants (doctor_id, patient_id) WHERE status = 'active';
CREATE INDEX grants_by_pair ON grants (doctor_id, patient_id, status);
CREATE INDEX grants_by_doctor ON grants (doctor_id, created_at, id);
CREATE INDEX grants_by_patient ON grants (patient_id, created_at, id);
CREATE INDEX grants_by_email ON grants (patient_email, created_at, id);

CREATE TABLE audit_records (
    patient_id TEXT NOT NULL,
    seq $int NOT NULL,
    at $int NOT NULL,
    actor_id TEXT NOT NULL,
    means TEXT NOT NULL CHECK (means IN ('token', 'key')),
    means_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    what TEXT NOT NULL,
    metric TEXT,
    range_start $int,
    range_end $int,
    address TEXT NOT NULL,
    prev_hash $bytes NOT NULL,
    hash $bytes NOT NULL,
    PRIMARY KEY (patient_id, seq)
) $strict;

CREATE TABLE audit_heads (
    patient_id TEXT NOT NULL PRIMARY KEY,
    seq $int NOT NULL,
    hash $bytes NOT NULL
) $strict;
";

/// The second step.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m002_sharing"
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
