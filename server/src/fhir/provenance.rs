//! Where an observation comes from: who said it, by what, and when it got here.
//!
//! There is one for each observation, and it is made from that: its id is the observation's with a letter before it, its
//! version the observation's.

use serde_json::{Value, json};

/// What stands before the observation's id; 64 characters in all, which is what FHIR allows.
const PREFIX: char = 'p';

const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const OPERATION: &str = "http://terminology.hl7.org/CodeSystem/v3-DataOperation";

/// The observation that a Provenance is of, by their ids; `None` for what is no id of one.
pub fn observation_id(id: &str) -> Option<&str> {
    id.strip_prefix(PREFIX)
}

/// The id and the Provenance of an observation.
pub fn of(observation: &Value) -> (String, Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let observed = text(observation.get("id").unwrap_or(&Value::Null));
    let id = format!("{PREFIX}{observed}");
    let is_changed = matches!(observation.get("status").and_then(Value::as_str), Some("corrected" | "amended"));
    let (code, display) = if is_changed { ("UPDATE", "revise") } else { ("CREATE", "create") };
    // An importer put the total of a day together; what has a time was said by a device or a person.
    let (role, role_display) =
        if observation.get("effectivePeriod").is_some() { ("assembler", "Assembler") } else { ("author", "Author") };
    let who = observation.get("device").or_else(|| observation.pointer("/performer/0"));
    let resource = json!({
        "resourceType": "Provenance",
        "id": id,
        "meta": {
            "versionId": observation.pointer("/meta/versionId"),
            "lastUpdated": observation.pointer("/meta/lastUpdated"),
        },
        "target": [{"reference": format!("Observation/{observed}")}],
        "recorded": observation.get("issued"),
        "activity": {"coding": [{"system": OPERATION, "code": code, "display": display}]},
        "agent": [{
            "type": {"coding": [{"system": PARTICIPANT, "code": role, "display": role_display}]},
            "who": who,
        }],
    });
    (id, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provenance_says_who_and_what_was_done() {
        let mut observation = json!({"id": "o", "status": "final", "issued": "2026-06-01T08:00:00Z",
            "meta": {"versionId": "7", "lastUpdated": "2026-06-01T08:00:00Z"}, "device": {"display": "watch"}});
        let (id, provenance) = of(&observation);
        assert_eq!((id.as_str(), observation_id(&id)), ("po", Some("o")));
        assert_eq!(provenance["target"], json!([{"reference": "Observation/o"}]));
        assert_eq!(provenance["recorded"], "2026-06-01T08:00:00Z");
        assert_eq!(provenance["agent"][0]["who"]["display"], "watch");
        assert_eq!(provenance["activity"]["coding"][0]["code"], "CREATE");
        observation["status"] = json!("amended");
        observation["performer"] = json!([{"reference": "Patient/usr-7jRtHvBk"}]);
        observation.as_object_mut().unwrap().remove("device");
        let (_, provenance) = of(&observation);
        assert_eq!(provenance["activity"]["coding"][0]["code"], "UPDATE");
        assert_eq!(provenance["agent"][0]["who"]["reference"], "Patient/usr-7jRtHvBk");
        assert_eq!(observation_id("o"), None);
    }
}
