//! A page of a search as a `searchset`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fhir::answer::Base;

/// The system of what is said of resources that are not whole.
const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// Elements of an observation that are always told.
const MANDATORY: [&str; 4] = ["code", "id", "resourceType", "status"];

/// Elements whose name says of which type they are.
const CHOICES: [&str; 2] = ["effective", "value"];

/// What a page begins with, before it has entries.
pub(crate) const HEAD: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[";

/// The end of [`HEAD`], which goes where there are no entries: a list of nothing is not FHIR.
const LIST: &[u8] = b",\"entry\":[";

/// A page while it is written: entries first, links and total behind them.
#[derive(Debug)]
pub(crate) struct Bundle {
    out: Vec<u8>,
    has_entries: bool,
}

impl Bundle {
    /// Without entries.
    pub(crate) fn new() -> Self {
        Self { out: HEAD.to_vec(), has_entries: false }
    }

    /// Of entries with commas between them that were written behind [`HEAD`]: a page of a megabyte is not copied.
    pub(crate) fn begun(out: Vec<u8>) -> Self {
        let has_entries = out.len() > HEAD.len();
        Self { out, has_entries }
    }

    /// Takes entries, with commas between them.
    pub(crate) fn entries(&mut self, entries: &[u8]) {
        if entries.is_empty() {
            return;
        }
        if self.has_entries {
            self.out.push(b',');
        }
        self.has_entries = true;
        self.out.extend_from_slice(entries);
    }

    /// Takes a resource that comes along, or one that was found.
    pub(crate) fn resource(&mut self, base: &Base, (kind, id): (&str, &str), mode: &str, resource: &[u8]) {
        let mut entry =
            format!("{{\"fullUrl\":{},\"resource\":", Value::from(format!("{}/{kind}/{id}", base.0))).into_bytes();
        entry.extend_from_slice(resource);
        entry.extend_from_slice(format!(",\"search\":{{\"mode\":\"{mode}\"}}}}").as_bytes());
        self.entries(&entry);
    }

    /// All of it: links by their relation, and the total where it is known.
    pub(crate) fn finish(self, links: &[(&str, String)], total: Option<usize>) -> Vec<u8> {
        let mut out = self.out;
        if self.has_entries {
            out.push(b']');
        } else {
            out.truncate(HEAD.len() - LIST.len());
        }
        if let Some(total) = total {
            out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
        }
        let links: Vec<Value> = links.iter().map(|(relation, url)| json!({"relation": relation, "url": url})).collect();
        out.extend_from_slice(format!(",\"link\":{}}}", Value::Array(links)).as_bytes());
        out
    }
}

/// Observations, one a line, as entries with these elements alone and those that must be.
///
/// # Errors
/// A line that is no observation.
pub(crate) fn trimmed(lines: &[u8], elements: &[String], base: &Base) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_slice(line)?;
        let is_told = |name: &str| MANDATORY.contains(&name) || elements.iter().any(|element| is_of(name, element));
        fields.retain(|name, _| *name == "meta" || is_told(name));
        let mut meta: BTreeMap<&str, Value> =
            fields.remove("meta").map_or(Ok(BTreeMap::new()), |meta| serde_json::from_str(meta.get()))?;
        meta.insert("tag", json!([{"system": OBSERVATION_VALUE, "code": "SUBSETTED"}]));
        let meta = serde_json::value::to_raw_value(&meta)?;
        fields.insert("meta", &meta);
        let id: &str = fields.get("id").map_or(Ok(""), |id| serde_json::from_str(id.get()))?;
        if !out.is_empty() {
            out.push(b',');
        }
        let address = Value::from(format!("{}/Observation/{id}", base.0));
        out.extend_from_slice(format!("{{\"fullUrl\":{address},\"resource\":").as_bytes());
        serde_json::to_writer(&mut out, &fields)?;
        out.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
    }
    Ok(out)
}

/// Whether a field is the element that is asked for.
fn is_of(field: &str, element: &str) -> bool {
    let is_choice =
        |rest: &str| CHOICES.contains(&element) && rest.starts_with(|first: char| first.is_ascii_uppercase());
    field == element || field.strip_prefix(element).is_some_and(is_choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base("https://h/fhir/R4".to_owned())
    }

    #[test]
    fn a_page_of_nothing_has_no_entries() {
        let bundle = Bundle::new().finish(&[("self", "https://h/a?b=\"".to_owned())], Some(0));
        let bundle: Value = serde_json::from_slice(&bundle).unwrap();
        assert_eq!(
            bundle,
            json!({"resourceType": "Bundle", "type": "searchset", "total": 0,
                "link": [{"relation": "self", "url": "https://h/a?b=\""}]})
        );
    }

    #[test]
    fn a_page_goes_on_behind_what_was_written_into_it() {
        let mut bundle = Bundle::begun([HEAD, b"{},{}"].concat());
        bundle.resource(&base(), ("Patient", "p"), "include", b"{}");
        let bundle: Value = serde_json::from_slice(&bundle.finish(&[], None)).unwrap();
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 3);
        assert!(HEAD.ends_with(LIST));
        let nothing: Value = serde_json::from_slice(&Bundle::begun(HEAD.to_vec()).finish(&[], None)).unwrap();
        assert_eq!(nothing.get("entry"), None);
    }

    #[test]
    fn what_is_left_out_is_said_to_be_and_numbers_stay_as_they_are() {
        let line = br#"{"resourceType":"Observation","id":"a","meta":{"versionId":"1"},"status":"final","code":{},"issued":"x","valueQuantity":{"value":0.30000000000000004}}
"#;
        let entries = trimmed(line, &["value".to_owned()], &base()).unwrap();
        let text = String::from_utf8(entries.clone()).unwrap();
        assert!(text.contains("0.30000000000000004"), "{text}");
        let entry: Value = serde_json::from_slice(&entries).unwrap();
        assert_eq!(entry["fullUrl"], "https://h/fhir/R4/Observation/a");
        assert_eq!(entry["resource"].get("issued"), None);
        assert_eq!(entry["resource"]["meta"]["tag"][0]["code"], "SUBSETTED");
        assert_eq!(entry["resource"]["meta"]["versionId"], "1");
        assert_eq!(trimmed(b"", &[], &base()).unwrap(), b"");
    }
}
