//! The table at the end.

use std::time::Duration;

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Nothing asked.
    None,
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// One measured figure.
#[derive(Debug, Clone)]
struct Row {
    phase: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    target: Target,
}

/// All figures, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a figure.
    pub(crate) fn add(
        &mut self,
        phase: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        let row = Row { phase, what: what.into(), value, unit, target };
        eprintln!("  {}", row.line());
        self.rows.push(row);
    }

    /// Adds p50 and p99 of latencies, in milliseconds.
    pub(crate) fn add_latencies(&mut self, phase: &'static str, what: &str, ns: &[u64], p50: Target, p99: Target) {
        self.add(phase, format!("{what}, p50"), percentile_ms(ns, 50), "ms", p50);
        self.add(phase, format!("{what}, p99"), percentile_ms(ns, 99), "ms", p99);
    }

    /// The table as text.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let mut phase = "";
        for row in &self.rows {
            if row.phase != phase {
                phase = row.phase;
                text.extend(["\n", phase, "\n"]);
            }
            text.extend(["  ", &row.line(), "\n"]);
        }
        text
    }

    /// The table as JSON: an array of `{phase, what, value, unit, at_most, at_least, reached}`; what does not apply is null.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<serde_json::Value> = (self.rows.iter())
            .map(|row| {
                let (at_most, at_least) = match row.target {
                    Target::None => (None, None),
                    Target::AtMost(bound) => (Some(bound), None),
                    Target::AtLeast(bound) => (None, Some(bound)),
                };
                serde_json::json!({
                    "phase": row.phase, "what": row.what, "value": row.value, "unit": row.unit,
                    "at_most": at_most, "at_least": at_least, "reached": row.is_reached(),
                })
            })
            .collect();
        serde_json::Value::Array(rows).to_string()
    }
}

impl Row {
    fn is_reached(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtMost(bound) => Some(self.value <= bound),
            Target::AtLeast(bound) => Some(self.value >= bound),
        }
    }

    fn line(&self) -> String {
        let target = match self.target {
            Target::None => String::new(),
            Target::AtMost(bound) => format!("at most {}", number(bound)),
            Target::AtLeast(bound) => format!("at least {}", number(bound)),
        };
        let mark = match self.is_reached() {
            None => "",
            Some(true) => "reached",
            Some(false) => "MISSED",
        };
        format!("{:<52} {:>12} {:<12} {target:<18} {mark}", self.what, number(self.value), self.unit).trim_end().into()
    }
}

/// A figure with three or four digits that mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or_else(|| grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

/// The latency that `percent` in a hundred do not exceed, milliseconds; 0 of none.
pub(crate) fn percentile_ms(ns: &[u64], percent: usize) -> f64 {
    let mut sorted = ns.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |ns| *ns as f64 / 1e6)
}

/// CPU time a point, microseconds.
pub(crate) fn us_per_point(cpu: Duration, points: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / points as f64
}
