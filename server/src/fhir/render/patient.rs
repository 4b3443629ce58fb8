//! A person as a Patient.

use serde_json::json;

use crate::control::entities::user;

/// US Core's profile of a patient.
pub const US_CORE_PATIENT: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient";

/// Says why something that is asked for is not there.
const DATA_ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// The system of people's ids.
pub const USER_SYSTEM: &str = "urn:avycenna:user";

/// The id of a Patient: FHIR's ids have no underscore.
pub fn patient_id(user_id: &str) -> String {
    user_id.replacen('_', "-", 1)
}

/// The id of a person by that of their Patient, in either form.
pub fn user_id(patient_id: &str) -> String {
    match patient_id.strip_prefix("usr-") {
        Some(rest) => format!("usr_{rest}"),
        None => patient_id.to_owned(),
    }
}

/// The version of a Patient: when the account last changed.
pub fn version(person: &user::Model) -> String {
    person.updated_at.unsigned_abs().to_string()
}

/// A Patient, as JSON. Nobody is asked for their gender, nor for their name in parts: both are said to be unknown, as US
/// Core wants it of what a server does not hold. Cost: a few allocations.
pub fn patient(person: &user::Model) -> Vec<u8> {
    let resource = json!({
        "resourceType": "Patient",
        "id": patient_id(&person.id),
        "meta": {
            "versionId": version(person),
            "lastUpdated": super::instant(person.updated_at),
            "profile": [US_CORE_PATIENT],
        },
        "identifier": [{"system": USER_SYSTEM, "value": person.id}],
        "active": true,
        "name": [{"extension": [{"url": DATA_ABSENT, "valueCode": "unknown"}], "text": person.name}],
        "telecom": [{"system": "email", "value": person.email}],
        "gender": "unknown",
    });
    resource.to_string().into_bytes()
}
