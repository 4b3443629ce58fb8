//! FHIR: a search for one person's newest 1,000 heart rates beside the raw window of the same points, in turns.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::Bench;
use crate::Result;
use crate::client::{Connection, Head};
use crate::query;
use crate::report::Target::{AtMost, None as NoTarget};
use crate::report::percentile_ms;

/// Observations of a page, and points of the window.
const ROWS: usize = 1_000;
/// Times each is asked over one connection.
const READ_COUNT: usize = 2_000;
/// The two take turns in so many pieces, so that a change of the machine meets both.
const PIECES: usize = 10;

const PHASE: &str = "1,000 heart rates, quiet server";

impl Bench<'_> {
    /// Asks for the same points in both forms.
    pub(super) fn fhir(&mut self, data_dir: &Path) -> Result<()> {
        eprintln!("observations beside points");
        let server = self.server(data_dir, &[])?;
        let (raw, fhir) = self.heads_of_both(server.address)?;
        let bytes = compare(server.address, &raw, &fhir)?;
        let count = if self.args.quick { READ_COUNT / 10 } else { READ_COUNT };
        let (mut raw_ns, mut fhir_ns) = (Vec::new(), Vec::new());
        query::of_everybody(server.address, &raw)?;
        query::of_everybody(server.address, &fhir)?;
        for _ in 0..PIECES {
            raw_ns.extend(query::one_by_one(server.address, &raw, count / PIECES)?);
            fhir_ns.extend(query::one_by_one(server.address, &fhir, count / PIECES)?);
        }
        self.report.add_latencies(PHASE, "the raw window", &raw_ns, NoTarget, NoTarget);
        self.report.add_latencies(PHASE, "a search for observations", &fhir_ns, NoTarget, NoTarget);
        self.report.add(PHASE, "bytes of a page of observations", bytes as f64, "B", NoTarget);
        let ratio = percentile_ms(&fhir_ns, 50) / percentile_ms(&raw_ns, 50);
        self.report.add(PHASE, "the search's p50 by the window's", ratio, "times", AtMost(2.0));
        self.stop(server)?;
        Ok(())
    }

    /// The requests of each person for the newest points of the generated days.
    fn heads_of_both(&self, address: SocketAddr) -> Result<(Vec<Head>, Vec<Head>)> {
        let host = address.to_string();
        let start = jiff::Timestamp::from_microsecond(self.start_us)?;
        let end = jiff::Timestamp::from_microsecond(self.end_us)?;
        let raw = format!("/api/v1/wearables/metric/heart_rate?start={start}&end={end}&limit={ROWS}");
        let fhir =
            format!("/fhir/R4/Observation?code=http://loinc.org%7C8867-4&date=ge{start}&date=lt{end}&_count={ROWS}");
        let heads = |path: &str| self.keys.iter().map(|key| Head::get(&host, path, Some(key))).collect();
        Ok((heads(&raw), heads(&fhir)))
    }
}

/// Compares both answers of the first person, value by value; how long the page of observations is.
fn compare(address: SocketAddr, raw: &[Head], fhir: &[Head]) -> Result<usize> {
    let mut connection = Connection::open(address)?;
    let mut ask = |heads: &[Head]| -> Result<(Value, usize)> {
        let status = connection.get(heads.first().ok_or("nobody to ask for")?)?;
        let body = connection.body();
        if status != 200 {
            return Err(format!("answered {status}: {}", String::from_utf8_lossy(body)).into());
        }
        Ok((serde_json::from_slice(body)?, body.len()))
    };
    let (points, _) = ask(raw)?;
    let (bundle, bytes) = ask(fhir)?;
    let points = points.get("data_points").and_then(Value::as_array).ok_or("no `data_points` in the answer")?;
    let entries = bundle.get("entry").and_then(Value::as_array).ok_or("no `entry` in the Bundle")?;
    let is_same = |(point, entry): (&Value, &Value)| {
        point.get("recorded_at") == entry.pointer("/resource/effectiveDateTime")
            && point.get("value") == entry.pointer("/resource/valueQuantity/value")
    };
    if points.len() != entries.len() || !points.iter().zip(entries).all(is_same) {
        return Err(format!("{} observations are not the {} points", entries.len(), points.len()).into());
    }
    Ok(bytes)
}
