//! What receivers are told, in the bytes that are signed.
//!
//! A body is made once, when the event happens, and never again: every try, replay and feed shows the same bytes.

use serde::Serialize;

use crate::access::Permissions;
use crate::control::entities::{check_in, grant, symptom};
use crate::routes::time::rfc3339;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A patient wrote a check-in.
    CheckInCreated,
    /// A patient wrote a symptom down.
    SymptomCreated,
    /// A patient let a doctor in.
    GrantAccepted,
    /// Either side ended that.
    GrantRevoked,
    /// The owner of an endpoint tries it.
    Test,
}

impl Kind {
    /// What an endpoint can ask for.
    pub const ALL: [Self; 4] = [Self::CheckInCreated, Self::SymptomCreated, Self::GrantAccepted, Self::GrantRevoked];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckInCreated => "check_in.created",
            Self::SymptomCreated => "symptom.created",
            Self::GrantAccepted => "grant.accepted",
            Self::GrantRevoked => "grant.revoked",
            Self::Test => "webhook.test",
        }
    }

    /// Reads the API's word, that of a test included.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Test]).find(|kind| kind.as_str() == word)
    }
}

/// A body: the envelope around `data`.
#[derive(Debug, Serialize)]
struct Body<'a, T> {
    event: &'static str,
    event_id: &'a str,
    timestamp: String,
    data: T,
}

#[derive(Debug, Serialize)]
struct CheckInCreated<'a> {
    patient_id: &'a str,
    check_in_id: &'a str,
    mood: i32,
    energy: i32,
    focus: i32,
    sleep_hours: Option<f64>,
    steps: Option<i32>,
    checked_in_at: String,
}

#[derive(Debug, Serialize)]
struct SymptomCreated<'a> {
    patient_id: &'a str,
    symptom_id: &'a str,
    name: &'a str,
    severity: &'a str,
    onset_at: String,
    resolved_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct GrantAccepted<'a> {
    grant_id: &'a str,
    patient_id: Option<&'a str>,
    permissions: Vec<&'static str>,
    accepted_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct GrantRevoked<'a> {
    grant_id: &'a str,
    patient_id: Option<&'a str>,
    permissions: Vec<&'static str>,
    revoked_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Test<'a> {
    webhook_id: &'a str,
}

/// The body of a `check_in.created`; the note stays with the patient.
pub(super) fn check_in_created(event_id: &str, now_us: i64, row: &check_in::Model) -> serde_json::Result<String> {
    let data = CheckInCreated {
        patient_id: &row.user_id,
        check_in_id: &row.id,
        mood: row.mood,
        energy: row.energy,
        focus: row.focus,
        sleep_hours: row.sleep_hours,
        steps: row.steps,
        checked_in_at: rfc3339(row.checked_in_at),
    };
    body(Kind::CheckInCreated, event_id, now_us, data)
}

/// The body of a `symptom.created`; the notes stay with the patient.
pub(super) fn symptom_created(event_id: &str, now_us: i64, row: &symptom::Model) -> serde_json::Result<String> {
    let data = SymptomCreated {
        patient_id: &row.user_id,
        symptom_id: &row.id,
        name: &row.name,
        severity: &row.severity,
        onset_at: rfc3339(row.onset_at),
        resolved_at: row.resolved_at.map(rfc3339),
    };
    body(Kind::SymptomCreated, event_id, now_us, data)
}

/// The body of a `grant.accepted`.
pub(super) fn grant_accepted(event_id: &str, now_us: i64, row: &grant::Model) -> serde_json::Result<String> {
    let data = GrantAccepted {
        grant_id: &row.id,
        patient_id: row.patient_id.as_deref(),
        permissions: Permissions::stored(&row.permissions).words(),
        accepted_at: row.accepted_at.map(rfc3339),
    };
    body(Kind::GrantAccepted, event_id, now_us, data)
}

/// The body of a `grant.revoked`.
pub(super) fn grant_revoked(event_id: &str, now_us: i64, row: &grant::Model) -> serde_json::Result<String> {
    let data = GrantRevoked {
        grant_id: &row.id,
        patient_id: row.patient_id.as_deref(),
        permissions: Permissions::stored(&row.permissions).words(),
        revoked_at: row.ended_at.map(rfc3339),
    };
    body(Kind::GrantRevoked, event_id, now_us, data)
}

/// The body of a test.
pub(super) fn test(event_id: &str, now_us: i64, webhook_id: &str) -> serde_json::Result<String> {
    body(Kind::Test, event_id, now_us, Test { webhook_id })
}

fn body(kind: Kind, event_id: &str, now_us: i64, data: impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(&Body { event: kind.as_str(), event_id, timestamp: rfc3339(now_us), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_780_300_800_000_000;

    #[test]
    fn bodies_have_exactly_the_published_fields() {
        let check_in = check_in::Model {
            id: "ci_1".into(),
            user_id: "usr_1".into(),
            mood: 4,
            energy: 3,
            focus: 5,
            sleep_hours: Some(8.0),
            steps: None,
            note: Some("between us".into()),
            checked_in_at: NOW_US,
            source: "web".into(),
            created_at: NOW_US,
            updated_at: NOW_US,
        };
        insta::assert_snapshot!(check_in_created("evt_1", NOW_US, &check_in).unwrap(), @r#"{"event":"check_in.created","event_id":"evt_1","timestamp":"2026-06-01T08:00:00Z","data":{"patient_id":"usr_1","check_in_id":"ci_1","mood":4,"energy":3,"focus":5,"sleep_hours":8.0,"steps":null,"checked_in_at":"2026-06-01T08:00:00Z"}}"#);
        let symptom = symptom::Model {
            id: "sym_1".into(),
            user_id: "usr_1".into(),
            name: "headache".into(),
            severity: "mild".into(),
            onset_at: NOW_US,
            resolved_at: None,
            notes: Some("between us".into()),
            created_at: NOW_US,
            updated_at: NOW_US,
        };
        insta::assert_snapshot!(symptom_created("evt_1", NOW_US, &symptom).unwrap(), @r#"{"event":"symptom.created","event_id":"evt_1","timestamp":"2026-06-01T08:00:00Z","data":{"patient_id":"usr_1","symptom_id":"sym_1","name":"headache","severity":"mild","onset_at":"2026-06-01T08:00:00Z","resolved_at":null}}"#);
        let grant = grant::Model {
            id: "grt_1".into(),
            doctor_id: "usr_2".into(),
            patient_email: "ada@example.org".into(),
            patient_id: Some("usr_1".into()),
            permissions: "check_ins symptoms".into(),
            message: Some("between us".into()),
            status: "active".into(),
            created_at: NOW_US,
            accepted_at: Some(NOW_US),
            ended_at: Some(NOW_US + 1_000_000),
            expires_at: None,
        };
        insta::assert_snapshot!(grant_accepted("evt_1", NOW_US, &grant).unwrap(), @r#"{"event":"grant.accepted","event_id":"evt_1","timestamp":"2026-06-01T08:00:00Z","data":{"grant_id":"grt_1","patient_id":"usr_1","permissions":["check_ins","symptoms"],"accepted_at":"2026-06-01T08:00:00Z"}}"#);
        insta::assert_snapshot!(grant_revoked("evt_1", NOW_US, &grant).unwrap(), @r#"{"event":"grant.revoked","event_id":"evt_1","timestamp":"2026-06-01T08:00:00Z","data":{"grant_id":"grt_1","patient_id":"usr_1","permissions":["check_ins","symptoms"],"revoked_at":"2026-06-01T08:00:01Z"}}"#);
    }

    #[test]
    fn words_are_read_back() {
        for kind in Kind::ALL.into_iter().chain([Kind::Test]) {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("check_in.updated"), None);
    }
}
