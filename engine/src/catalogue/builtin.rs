//! The metrics that are built in, as data.
//!
//! LOINC codes are there only where one means the same thing: none exists for RMSSD (80404-7 is SDNN), and none for a
//! piece of a day's calories.

use super::Metric;
use super::unit::{AcceptedUnit, Conversion};

/// One row of the table.
struct Row {
    key: &'static str,
    unit: &'static str,
    /// Accepted beside the canonical unit.
    others: &'static [(&'static str, Conversion)],
    bounds: (f64, f64),
    loinc: &'static [&'static str],
    ucum: &'static str,
    is_count: bool,
    description: &'static str,
}

const PER_MINUTE: [(&str, Conversion); 2] = [("/min", Conversion::Same), ("count/min", Conversion::Same)];
const HOURS: [(&str, Conversion); 4] = [
    ("h", Conversion::Same),
    ("min", Conversion::over(60.0)),
    ("minutes", Conversion::over(60.0)),
    ("s", Conversion::over(3_600.0)),
];
const FAHRENHEIT: Conversion = Conversion::Linear { minus: 32.0, times: 5.0, over: 9.0, plus: 0.0 };
/// The thermochemical calorie: 1 kcal is 4,184 J exactly.
const ENERGY: [(&str, Conversion); 3] = [
    ("Cal", Conversion::Same),
    ("kJ", Conversion::Scaled { times: 1_000.0, over: 4_184.0 }),
    ("J", Conversion::over(4_184.0)),
];

const ROWS: [Row; 13] = [
    Row {
        key: "heart_rate",
        unit: "bpm",
        others: &[("beats/min", Conversion::Same), PER_MINUTE[0], PER_MINUTE[1]],
        bounds: (15.0, 350.0),
        loinc: &["8867-4"],
        ucum: "/min",
        is_count: false,
        description: "Heart rate",
    },
    Row {
        key: "hrv",
        unit: "ms",
        others: &[("ms (RMSSD)", Conversion::Same), ("s", Conversion::times(1_000.0))],
        bounds: (0.0, 1_000.0),
        loinc: &[],
        ucum: "ms",
        is_count: false,
        description: "Heart rate variability as RMSSD",
    },
    Row {
        key: "spo2",
        unit: "%",
        others: &[("1", Conversion::times(100.0))],
        bounds: (30.0, 100.0),
        loinc: &["59408-5", "2708-6"],
        ucum: "%",
        is_count: false,
        description: "Oxygen saturation of the blood",
    },
    Row {
        key: "steps",
        unit: "steps",
        others: &[("count", Conversion::Same)],
        bounds: (0.0, 200_000.0),
        loinc: &["41950-7"],
        ucum: "{steps}/d",
        is_count: true,
        description: "Steps of a local day, at its start",
    },
    Row {
        key: "sleep_duration",
        unit: "hours",
        others: &HOURS,
        bounds: (0.0, 24.0),
        loinc: &["93832-4"],
        ucum: "h",
        is_count: false,
        description: "Time asleep, at the end of the sleep",
    },
    Row {
        key: "sleep_deep",
        unit: "hours",
        others: &HOURS,
        bounds: (0.0, 24.0),
        loinc: &["93831-6"],
        ucum: "h",
        is_count: false,
        description: "Time in deep sleep, at the end of the sleep",
    },
    Row {
        key: "sleep_rem",
        unit: "hours",
        others: &HOURS,
        bounds: (0.0, 24.0),
        loinc: &["93829-0"],
        ucum: "h",
        is_count: false,
        description: "Time in REM sleep, at the end of the sleep",
    },
    Row {
        key: "body_temperature",
        unit: "°C",
        others: &[
            ("C", Conversion::Same),
            ("degC", Conversion::Same),
            ("°F", FAHRENHEIT),
            ("F", FAHRENHEIT),
            ("degF", FAHRENHEIT),
        ],
        bounds: (20.0, 50.0),
        loinc: &["8310-5"],
        ucum: "Cel",
        is_count: false,
        description: "Body temperature",
    },
    Row {
        key: "respiratory_rate",
        unit: "breaths/min",
        others: &[("brpm", Conversion::Same), PER_MINUTE[0], PER_MINUTE[1]],
        bounds: (1.0, 120.0),
        loinc: &["9279-1"],
        ucum: "/min",
        is_count: false,
        description: "Respiratory rate",
    },
    Row {
        key: "calories",
        unit: "kcal",
        others: &ENERGY,
        bounds: (0.0, 30_000.0),
        loinc: &["41981-2"],
        ucum: "kcal",
        is_count: false,
        description: "Energy burned on a local day, at its start",
    },
    Row {
        key: "hrv_sdnn",
        unit: "ms",
        others: &[("ms (SDNN)", Conversion::Same), ("s", Conversion::times(1_000.0))],
        bounds: (0.0, 1_000.0),
        loinc: &["80404-7"],
        ucum: "ms",
        is_count: false,
        description: "Heart rate variability as SDNN",
    },
    Row {
        key: "steps_sample",
        unit: "count",
        others: &[("steps", Conversion::Same)],
        bounds: (0.0, 200_000.0),
        loinc: &["55423-8"],
        ucum: "{steps}",
        is_count: true,
        description: "Steps of a piece of a day, at its start",
    },
    Row {
        key: "calories_sample",
        unit: "kcal",
        others: &ENERGY,
        bounds: (0.0, 30_000.0),
        loinc: &[],
        ucum: "kcal",
        is_count: false,
        description: "Energy burned in a piece of a day, at its start",
    },
];

/// The metrics, made from the table.
pub(super) fn metrics() -> impl Iterator<Item = Metric> {
    ROWS.iter().map(|row| Metric {
        key: row.key.into(),
        unit: row.unit.into(),
        description: row.description.into(),
        min: row.bounds.0,
        max: row.bounds.1,
        units: std::iter::once(&(row.unit, Conversion::Same))
            .chain(row.others)
            .map(|(name, conversion)| AcceptedUnit { name: (*name).into(), conversion: *conversion })
            .collect(),
        loinc: row.loinc.iter().map(|code| (*code).into()).collect(),
        ucum: Some(row.ucum.into()),
        is_count: row.is_count,
    })
}
