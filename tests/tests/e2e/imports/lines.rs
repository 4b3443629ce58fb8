//! A sink that writes down what an importer says, a line of JSON each.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use engine::import::{Daily, Found, Sink, Stop};
use serde_json::{Value, json};

/// What an importer says, a line each.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
    skipped: BTreeMap<&'static str, usize>,
}

impl Lines {
    /// Writes all of it beside a file; where.
    pub(super) fn write_beside(&self, file: &Path) -> PathBuf {
        let found = file.with_extension("found.ndjson");
        let skipped: Value = self.skipped.iter().map(|(reason, count)| (*reason, *count)).collect();
        std::fs::write(&found, format!("{}{}\n", self.text, json!({"skipped": skipped}))).unwrap();
        found
    }
}

impl Sink for Lines {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        if let Found::Night(night) = found {
            for (metric, value) in night.points() {
                let (source, device) = (night.maker.source, night.maker.device);
                let line =
                    json!({"metric": metric, "value": value, "at": night.end, "source": source, "device": device});
                writeln!(self.text, "{line}").unwrap();
            }
            return Ok(());
        }
        let line = match found {
            Found::Sample(sample) => json!({
                "metric": sample.metric, "value": sample.value, "at": sample.recorded_at,
                "source": sample.maker.source, "device": sample.maker.device,
            }),
            Found::Piece(piece) => json!({
                "metric": if piece.daily == Daily::Steps { "steps" } else { "calories" },
                "value": piece.value, "at": piece.start, "end": piece.end, "strand": piece.strand, "rank": piece.rank,
                "offset_s": piece.offset_s, "source": piece.maker.source, "device": piece.maker.device,
            }),
            other => json!({"unexpected": format!("{other:?}")}),
        };
        writeln!(self.text, "{line}").unwrap();
        Ok(())
    }

    fn skipped(&mut self, reason: &'static str, _: &dyn fmt::Display) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    fn reached(&mut self, _: u64) -> Result<(), Stop> {
        Ok(())
    }
}
