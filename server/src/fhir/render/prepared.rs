//! What observations of one kind, source and device have in common, as text.

use serde_json::{Value, json};

use super::between::Between;
use crate::fhir::day::Totals;
use crate::fhir::id::{Mark, metric_mark, origin_mark};
use crate::fhir::kind::{Form, Kind, UCUM};

/// The texts between what differs.
#[derive(Debug, Clone, Default)]
pub(super) struct Prepared {
    /// From when it was accepted to its status.
    pub(super) before_status: Vec<u8>,
    /// From its status to when it was measured.
    pub(super) before_time: Vec<u8>,
    /// From when it was issued to its value.
    pub(super) before_value: Vec<u8>,
    /// Behind its value, to where the next one begins.
    pub(super) end: Vec<u8>,
    /// Whether whole values print without `.0`.
    pub(super) is_count: bool,
}

impl Prepared {
    /// Of points of a source and device.
    ///
    /// `id` is that of their Device, `behind` what stands behind each.
    fn of_points(kind: &Kind, subject: &[u8], (id, behind): (&str, &[u8]), source: &str, device: Option<&str>) -> Self {
        // What the sender calls it stands in that, and here for people.
        let name = device.map_or_else(|| source.to_owned(), |device| format!("{source} ({device})"));
        let reference = json!({"reference": format!("Device/{id}"), "display": name});
        let mut prepared = Self::new(kind, subject, "device", &reference);
        prepared.end.extend_from_slice(behind);
        prepared
    }

    /// Of what people say themselves; `behind` is what stands behind each.
    pub(super) fn of_check_in(kind: &Kind, subject: &[u8], behind: &[u8]) -> Self {
        let mut prepared = Self::new(kind, subject, "", &Value::Null);
        // Who says it is who it is about.
        let mut before_value = b"\",\"performer\":[".to_vec();
        before_value.extend_from_slice(subject.strip_prefix(b"\"subject\":").unwrap_or_default());
        before_value.push(b']');
        before_value.extend(prepared.before_value.drain(1..));
        prepared.before_value = before_value;
        prepared.end.extend_from_slice(behind);
        prepared
    }

    /// With one more field behind when it was issued, if it has a name.
    fn new(kind: &Kind, subject: &[u8], field: &str, value: &Value) -> Self {
        let mut prepared = Self { before_status: b"\"".to_vec(), ..Self::default() };
        if let Some(profile) = kind.profile {
            write_field("profile", &json!([profile]), &mut prepared.before_status);
        }
        prepared.before_status.extend_from_slice(b"},\"status\":\"");
        let (category, code) = kind.concepts();
        prepared.before_time.push(b'"');
        write_field("category", &json!([category]), &mut prepared.before_time);
        write_field("code", &code, &mut prepared.before_time);
        prepared.before_time.push(b',');
        prepared.before_time.extend_from_slice(subject);
        prepared.before_value.push(b'"');
        if !field.is_empty() {
            write_field(field, value, &mut prepared.before_value);
        }
        match &kind.form {
            Form::Integer => {
                prepared.before_value.extend_from_slice(b",\"valueInteger\":");
                prepared.is_count = true;
                prepared.end.push(b'}');
            }
            Form::Quantity { unit, ucum, is_count } => {
                prepared.before_value.extend_from_slice(b",\"valueQuantity\":{\"value\":");
                prepared.is_count = *is_count;
                write_field("unit", &json!(unit), &mut prepared.end);
                if let Some(ucum) = ucum {
                    write_field("system", &json!(UCUM), &mut prepared.end);
                    write_field("code", &json!(ucum), &mut prepared.end);
                }
                prepared.end.extend_from_slice(b"}}");
            }
        }
        prepared
    }
}

/// A source and device of a metric, and what its points have in common.
#[derive(Debug, Default)]
pub(super) struct Origin {
    metric: String,
    source: String,
    device: Option<String>,
    pub(super) metric_mark: Mark,
    pub(super) mark: Mark,
    /// Whether its points can be totals of days, and whose.
    pub(super) totals: Option<Totals>,
    pub(super) prepared: Prepared,
    pub(super) between: Between,
}

impl Origin {
    /// `id` is that of their Device, `behind` what stands behind each observation.
    pub(super) fn new(
        kind: &Kind,
        subject: &[u8],
        (id, behind): (&str, &[u8]),
        source: &str,
        device: Option<&str>,
    ) -> Self {
        let metric = &*kind.name;
        Self {
            metric: metric.to_owned(),
            source: source.to_owned(),
            device: device.map(str::to_owned),
            metric_mark: metric_mark(metric),
            mark: origin_mark(source, device),
            totals: Totals::of(metric, source, device),
            prepared: Prepared::of_points(kind, subject, (id, behind), source, device),
            between: Between::default(),
        }
    }

    pub(super) fn is(&self, metric: &str, source: &str, device: Option<&str>) -> bool {
        self.metric == metric && self.source == source && self.device.as_deref() == device
    }
}

/// Appends `,"name":value`.
fn write_field(name: &str, value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value.to_string().as_bytes());
}

/// Appends a JSON string, quotes included.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(Value::from(text).to_string().as_bytes());
}
