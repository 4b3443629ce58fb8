//! What is observed: the metrics of the catalogue and the values of a check-in, each with its codes.

use std::sync::Arc;

use engine::Catalogue;
use engine::catalogue::Metric;
use serde_json::{Value, json};

use crate::control::entities::check_in;

/// LOINC.
pub const LOINC: &str = "http://loinc.org";
/// UCUM.
pub const UCUM: &str = "http://unitsofmeasure.org";
/// Our own codes: what LOINC has none for.
pub const OWN: &str = "urn:avycenna:codes";
/// The categories of observations.
pub const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// What check-ins share as the beginning of their order; no metric's key has a dot.
const FIELD_PREFIX: &str = "check_in.";

/// One of the values of a check-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// 1 to 5.
    Mood,
    /// 1 to 5.
    Energy,
    /// 1 to 5.
    Focus,
    /// Hours.
    SleepHours,
    /// Steps.
    Steps,
}

impl Field {
    /// Every value.
    pub const ALL: [Self; 5] = [Self::Mood, Self::Energy, Self::Focus, Self::SleepHours, Self::Steps];

    /// As ids have it: never changes.
    pub fn number(self) -> u8 {
        match self {
            Self::Mood => 1,
            Self::Energy => 2,
            Self::Focus => 3,
            Self::SleepHours => 4,
            Self::Steps => 5,
        }
    }

    /// The value of a number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.number() == number)
    }

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mood => "mood",
            Self::Energy => "energy",
            Self::Focus => "focus",
            Self::SleepHours => "sleep_hours",
            Self::Steps => "steps",
        }
    }

    /// What a check-in says of it.
    pub fn of(self, row: &check_in::Model) -> Option<f64> {
        match self {
            Self::Mood => Some(f64::from(row.mood)),
            Self::Energy => Some(f64::from(row.energy)),
            Self::Focus => Some(f64::from(row.focus)),
            Self::SleepHours => row.sleep_hours,
            Self::Steps => row.steps.map(f64::from),
        }
    }

    /// For people.
    fn text(self) -> &'static str {
        match self {
            Self::Mood => "Mood",
            Self::Energy => "Energy",
            Self::Focus => "Focus",
            Self::SleepHours => "Hours of sleep",
            Self::Steps => "Steps of a day",
        }
    }
}

/// Where the values of a kind are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Series {
    /// Points of a metric, by its key.
    Metric(Arc<str>),
    /// A value of check-ins.
    Field(Field),
}

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `valueQuantity`.
    Quantity {
        /// For people.
        unit: Box<str>,
        /// For machines; `None` if the operator gave none.
        ucum: Option<Box<str>>,
        /// Whether whole values print without `.0`.
        is_count: bool,
    },
    /// `valueInteger`.
    Integer,
}

/// A code and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coding {
    /// Its system.
    pub system: &'static str,
    /// The code.
    pub code: Box<str>,
}

/// One kind of observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Where its values are.
    pub series: Series,
    /// Its place in the order of kinds: the metric's key, or `check_in.` and the value's word.
    pub name: Arc<str>,
    /// Its codes; the first one is what `_sort=code` sorts by.
    pub codings: Vec<Coding>,
    /// For people.
    pub text: Box<str>,
    /// `vital-signs` or `activity`.
    pub category: &'static str,
    /// The profile that its observations hold, beside the basis.
    pub profile: Option<&'static str>,
    /// How its values are written.
    pub form: Form,
}

impl Kind {
    fn of_metric(metric: &Metric) -> Self {
        let key: Arc<str> = (*metric.key).into();
        let loinc = metric.loinc.iter().map(|code| Coding { system: LOINC, code: code.clone() });
        let mut codings: Vec<Coding> = loinc.collect();
        if codings.is_empty() {
            codings.push(Coding { system: OWN, code: metric.key.clone() });
        }
        let profile = vital_signs_profile(&key);
        let text = if metric.description.is_empty() { metric.key.clone() } else { metric.description.clone() };
        Self {
            series: Series::Metric(Arc::clone(&key)),
            name: key,
            codings,
            text,
            category: if profile.is_some() { "vital-signs" } else { "activity" },
            profile,
            form: Form::Quantity { unit: metric.unit.clone(), ucum: metric.ucum.clone(), is_count: metric.is_count },
        }
    }

    fn of_field(field: Field, mood_loinc: bool) -> Self {
        let own = || Coding { system: OWN, code: field.as_str().into() };
        let loinc = |code: &str| Coding { system: LOINC, code: code.into() };
        let quantity =
            |unit: &str, ucum: &str, is_count| Form::Quantity { unit: unit.into(), ucum: Some(ucum.into()), is_count };
        let (codings, form) = match field {
            Field::Mood if mood_loinc => (vec![own(), loinc("44250-9")], Form::Integer),
            Field::Mood | Field::Energy | Field::Focus => (vec![own()], Form::Integer),
            Field::SleepHours => (vec![loinc("93832-4")], quantity("hours", "h", false)),
            Field::Steps => (vec![loinc("41950-7")], quantity("steps", "{steps}/d", true)),
        };
        Self {
            series: Series::Field(field),
            name: format!("{FIELD_PREFIX}{}", field.as_str()).into(),
            codings,
            text: field.text().into(),
            category: "activity",
            profile: None,
            form,
        }
    }

    /// `CodeableConcept`s: the category, and the code.
    pub fn concepts(&self) -> (Value, Value) {
        let display = if self.category == "vital-signs" { "Vital Signs" } else { "Activity" };
        let category = json!({"coding": [{"system": CATEGORY, "code": self.category, "display": display}]});
        let codings: Vec<Value> =
            self.codings.iter().map(|coding| json!({"system": coding.system, "code": coding.code})).collect();
        (category, json!({"coding": codings, "text": self.text}))
    }

    /// Whether one of its codes is this one; without a system any system's.
    pub fn has_code(&self, system: Option<&str>, code: Option<&str>) -> bool {
        self.codings.iter().any(|coding| {
            system.is_none_or(|system| coding.system == system) && code.is_none_or(|code| *coding.code == *code)
        })
    }
}

/// The profiles of HL7 for vital signs, of the metrics that the mapping gives one. Operators cannot have metrics of these
/// keys.
fn vital_signs_profile(key: &str) -> Option<&'static str> {
    match key {
        "heart_rate" => Some("http://hl7.org/fhir/StructureDefinition/heartrate"),
        "respiratory_rate" => Some("http://hl7.org/fhir/StructureDefinition/resprate"),
        "spo2" => Some("http://hl7.org/fhir/StructureDefinition/oxygensat"),
        "body_temperature" => Some("http://hl7.org/fhir/StructureDefinition/bodytemp"),
        _ => None,
    }
}

/// All kinds there are, by name.
#[derive(Debug, Clone)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    /// Of a catalogue and of check-ins; `mood_loinc` is whether moods carry the published LOINC code.
    pub fn new(catalogue: &Catalogue, mood_loinc: bool) -> Self {
        let fields = Field::ALL.into_iter().map(|field| Kind::of_field(field, mood_loinc));
        let mut kinds: Vec<Kind> = catalogue.iter().map(Kind::of_metric).chain(fields).collect();
        kinds.sort_by(|a, b| a.name.cmp(&b.name));
        Self(kinds)
    }

    /// All of them, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Kind> {
        self.0.iter()
    }

    /// The kind of a name.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        let place = self.0.binary_search_by(|kind| (*kind.name).cmp(name)).ok()?;
        self.0.get(place)
    }

    /// The kind of a metric.
    pub fn of_metric(&self, key: &str) -> Option<&Kind> {
        self.get(key)
    }

    /// The kind of a value of check-ins.
    pub fn of_field(&self, field: Field) -> Option<&Kind> {
        self.iter().find(|kind| kind.series == Series::Field(field))
    }
}

impl<'a> IntoIterator for &'a Kinds {
    type Item = &'a Kind;
    type IntoIter = std::slice::Iter<'a, Kind>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(mood_loinc: bool) -> Kinds {
        Kinds::new(&Catalogue::builtin(), mood_loinc)
    }

    #[test]
    fn every_kind_has_the_published_codes() {
        let all = kinds(true);
        let lines: Vec<String> = all
            .iter()
            .map(|kind| {
                let codes: Vec<String> = kind
                    .codings
                    .iter()
                    .map(|coding| format!("{}{}", if coding.system == LOINC { "" } else { "own " }, coding.code))
                    .collect();
                let unit = match &kind.form {
                    Form::Quantity { ucum, .. } => ucum.as_deref().unwrap_or_default(),
                    Form::Integer => "integer",
                };
                format!("{} {} {} {unit}", kind.name, codes.join(", "), kind.category)
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        body_temperature 8310-5 vital-signs Cel
        calories 41981-2 activity kcal
        calories_sample own calories_sample activity kcal
        check_in.energy own energy activity integer
        check_in.focus own focus activity integer
        check_in.mood own mood, 44250-9 activity integer
        check_in.sleep_hours 93832-4 activity h
        check_in.steps 41950-7 activity {steps}/d
        heart_rate 8867-4 vital-signs /min
        hrv own hrv activity ms
        hrv_sdnn 80404-7 activity ms
        respiratory_rate 9279-1 vital-signs /min
        sleep_deep 93831-6 activity h
        sleep_duration 93832-4 activity h
        sleep_rem 93829-0 activity h
        spo2 59408-5, 2708-6 vital-signs %
        steps 41950-7 activity {steps}/d
        steps_sample 55423-8 activity {steps}
        ");
    }

    #[test]
    fn a_mood_goes_without_loinc_where_the_operator_says_so() {
        assert!(kinds(true).of_field(Field::Mood).unwrap().has_code(Some(LOINC), Some("44250-9")));
        assert!(!kinds(false).iter().any(|kind| kind.has_code(None, Some("44250-9"))));
        assert!(kinds(false).of_field(Field::Mood).unwrap().has_code(Some(OWN), Some("mood")));
    }

    #[test]
    fn a_number_of_a_value_never_changes() {
        assert_eq!(Field::ALL.map(Field::number), [1, 2, 3, 4, 5]);
        assert!(Field::ALL.into_iter().all(|field| Field::numbered(field.number()) == Some(field)));
        assert_eq!(Field::numbered(6), None);
    }
}
