//! The shapes of bodies and answers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Permission, Status};
use crate::routes::check_ins::CheckIn;
use crate::routes::symptoms::Symptom;

/// Whom a doctor asks for what.
#[derive(Debug, ToSchema)]
pub struct Invite {
    /// The patient's address; it need not have an account.
    #[schema(value_type = crate::routes::shape::Email)]
    pub patient_email: String,
    /// Some of `check_ins` (which includes `wearables`), `symptoms`, `wearables`, `wearables_write`.
    #[schema(min_items = 1, value_type = HashSet<Permission>, example = json!(["check_ins", "symptoms"]))]
    pub permissions: Vec<String>,
    /// For the patient to read, up to 2,000 characters.
    #[schema(value_type = Option<crate::routes::shape::Note>)]
    pub message: Option<String>,
    /// When invitation or grant ends by itself; never by default.
    #[schema(example = "2027-01-01T00:00:00Z", format = DateTime)]
    pub expires_at: Option<String>,
}

/// How far a doctor is let in.
#[derive(Debug, ToSchema)]
pub struct Accept {
    /// A part of what was asked for; all of it by default.
    #[schema(min_items = 1, value_type = Option<HashSet<Permission>>, example = json!(["symptoms"]))]
    pub permissions: Option<Vec<String>>,
}

/// What a doctor may still do.
#[derive(Debug, ToSchema)]
pub struct Narrow {
    /// A part of what was granted.
    #[schema(min_items = 1, value_type = HashSet<Permission>, example = json!(["symptoms"]))]
    pub permissions: Vec<String>,
}

/// A grant, as its doctor sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutgoingGrant {
    /// Its id.
    #[schema(example = "grt_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// Null until the patient has accepted.
    #[schema(example = "usr_7jRtHvBk")]
    pub patient_id: Option<String>,
    /// Null until the patient has accepted.
    #[schema(example = "Ada Lovelace")]
    pub patient_name: Option<String>,
    /// As it was asked.
    #[schema(example = "ada@example.org")]
    pub patient_email: String,
    /// What is asked for, or granted.
    #[schema(value_type = HashSet<Permission>, example = json!(["check_ins", "symptoms"]))]
    pub permissions: Vec<&'static str>,
    /// `pending`, `active`, `declined`, `revoked` or `expired`.
    #[schema(value_type = Status)]
    pub status: &'static str,
    /// When it was asked for.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub accepted_at: Option<String>,
    /// When it ends by itself.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// What a doctor has asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutgoingList {
    /// Newest first.
    pub grants: Vec<OutgoingGrant>,
}

/// A grant, as its patient sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncomingGrant {
    /// Its id.
    #[schema(example = "grt_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// Who asks.
    #[schema(example = "usr_9kLmNoPq")]
    pub doctor_id: String,
    /// Their name.
    #[schema(example = "Dr. Elizabeth Blackwell")]
    pub doctor_name: Option<String>,
    /// Their address.
    pub doctor_email: Option<String>,
    /// Null until it was accepted.
    pub patient_id: Option<String>,
    /// Who was asked.
    pub patient_email: String,
    /// What is asked for, or granted.
    #[schema(value_type = HashSet<Permission>, example = json!(["check_ins", "symptoms"]))]
    pub permissions: Vec<&'static str>,
    /// From the doctor.
    pub message: Option<String>,
    /// `pending`, `active`, `declined`, `revoked` or `expired`.
    #[schema(value_type = Status)]
    pub status: &'static str,
    /// When it was asked for.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub accepted_at: Option<String>,
    /// When it was declined or revoked.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// When it ends by itself.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// What a patient was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncomingList {
    /// Newest first.
    pub grants: Vec<IncomingGrant>,
}

/// Averages over what is present, null where nothing is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Summary {
    /// Of all check-ins.
    #[schema(example = 3.8)]
    pub avg_mood: Option<f64>,
    /// Of all check-ins.
    #[schema(example = 3.2)]
    pub avg_energy: Option<f64>,
    /// Of all check-ins.
    #[schema(example = 3.5)]
    pub avg_focus: Option<f64>,
    /// Of the check-ins that say it.
    #[schema(example = 7.1)]
    pub avg_sleep_hours: Option<f64>,
    /// Of the check-ins that say it.
    #[schema(example = 8200.0)]
    pub avg_steps: Option<f64>,
    /// Their number.
    #[schema(example = 27)]
    pub total_check_ins: usize,
    /// As asked.
    #[schema(example = 30)]
    pub days_requested: u32,
}

/// A patient's check-ins.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientCheckIns {
    /// Whose.
    #[schema(example = "usr_7jRtHvBk")]
    pub patient_id: String,
    /// Their name.
    #[schema(example = "Ada Lovelace")]
    pub patient_name: String,
    /// Newest first.
    pub check_ins: Vec<CheckIn>,
    /// Averages.
    pub summary: Summary,
}

/// A patient's symptoms.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientSymptoms {
    /// Whose.
    #[schema(example = "usr_7jRtHvBk")]
    pub patient_id: String,
    /// Their name.
    #[schema(example = "Ada Lovelace")]
    pub patient_name: String,
    /// The last that began first.
    pub symptoms: Vec<Symptom>,
}

/// What a doctor opens first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Whose.
    #[schema(example = "usr_7jRtHvBk")]
    pub patient_id: String,
    /// Their name.
    #[schema(example = "Ada Lovelace")]
    pub patient_name: String,
    /// As asked.
    #[schema(example = 30)]
    pub days: u32,
    /// Whose days they are: the patient's own time zone.
    #[schema(example = "Europe/Berlin")]
    pub tz: String,
    /// Of the check-ins; null without the permission `check_ins`.
    pub summary: Option<Summary>,
    /// The same of as many days before.
    pub summary_before: Option<Summary>,
    /// The newest point of each metric.
    #[schema(value_type = std::collections::BTreeMap<String, crate::routes::wearables::schema::LatestPoint>)]
    pub latest: serde_json::Value,
    /// By the metric's key; only those with points in this period or the one before.
    pub metrics: std::collections::BTreeMap<String, MetricOverview>,
}

/// One metric of an overview.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricOverview {
    /// Its canonical unit.
    #[schema(example = "bpm")]
    pub unit: String,
    /// Figures of each local day that has points, newest first.
    #[schema(value_type = Vec<crate::routes::wearables::schema::Bucket>)]
    pub days: Vec<serde_json::Value>,
    /// Mean of the days; a day counts once however many points it has.
    #[schema(example = 61.8)]
    pub avg: Option<f64>,
    /// The same of as many days before.
    #[schema(example = 63.1)]
    pub avg_before: Option<f64>,
    /// `avg` less `avg_before`; null where one of them is.
    #[schema(example = -1.3)]
    pub change: Option<f64>,
}
