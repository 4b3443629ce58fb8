//! Imports in a server in this process, with a reader of a format that is easily written.

mod days;
mod jobs;
mod nights;
mod pushes;
mod servers;
mod uploads;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::time::Duration;

use engine::import::{Daily, DayTotal, Found, Maker, Night, Piece, Reading, Sample};
use serde_json::{Value, json};

use super::*;
use crate::access::tests::{Header, Person as Somebody, Stage};
use crate::control::tests::Fixture as Database;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_mins(1);

/// Between two looks at an import: one who looks all the time leaves the database no time for the import.
const POLL: Duration = Duration::from_millis(10);

/// 2026-05-01T00:00:00Z, a few weeks before the time of tests.
const MAY_US: i64 = 1_777_593_600_000_000;

/// Reads lines of words; times are seconds of May 2026.
///
/// ```text
/// hr VALUE AT │ many COUNT │ night START END HOURS RANK DEVICE [TOLD [HRV]] │ steps SOURCE RANK START END VALUE [STRAND] │ reading START AT VALUE [STRAND]
/// total START VALUE │ skip EXAMPLE │ foreign │ part │ hold │ panic │ anything else breaks it
/// ```
fn script(file: File, sink: &mut dyn Sink) -> Result<(), Fault> {
    read(file, sink, true)
}

/// The same, but goes on behind `hold`.
fn script_without_hold(file: File, sink: &mut dyn Sink) -> Result<(), Fault> {
    read(file, sink, false)
}

fn read(file: File, sink: &mut dyn Sink, holds: bool) -> Result<(), Fault> {
    let mut at = 0;
    for line in BufReader::new(file).lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |nth: usize| words.get(nth).map_or(0.0, |word| word.parse::<f64>().unwrap());
        #[expect(clippy::cast_possible_truncation, reason = "tests write small numbers")]
        let time = |nth: usize| MAY_US + number(nth) as i64 * 1_000_000;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests write small numbers")]
        let small = |nth: usize| number(nth) as u8;
        let watch = Maker { source: "Watch", device: Some("w1") };
        match words.first().copied().unwrap_or_default() {
            "hr" => sink.found(Found::Sample(Sample {
                metric: "heart_rate",
                value: number(1),
                recorded_at: time(2),
                maker: watch,
            }))?,
            "many" => {
                for nth in 0..small_count(words[1]) {
                    let value = f64::from(60 + i32::try_from(nth % 40).unwrap());
                    let recorded_at = MAY_US + nth * 1_000_000;
                    sink.found(Found::Sample(Sample { metric: "heart_rate", value, recorded_at, maker: watch }))?;
                }
            }
            "night" => sink.found(night(&words))?,
            "steps" => sink.found(Found::Piece(Piece {
                daily: Daily::Steps,
                strand: small(6),
                start: time(3),
                end: time(4),
                value: number(5),
                offset_s: 7_200,
                rank: small(2),
                maker: Maker { source: words[1], device: None },
            }))?,
            "reading" => sink.found(Found::Reading(Reading {
                daily: Daily::Steps,
                strand: small(4),
                start: time(1),
                at: time(2),
                value: number(3),
                offset_s: 7_200,
                rank: 0,
                maker: watch,
            }))?,
            "total" => sink.found(Found::DayTotal(DayTotal {
                daily: Daily::Steps,
                start: time(1),
                value: number(2),
                maker: Maker { source: "garmin", device: None },
            }))?,
            "skip" => sink.skipped("nothing for us", &words[1]),
            "foreign" => return Err(Fault::Foreign { what: "it is another maker's".to_owned() }),
            "part" => return Err(Fault::Parts { what: "a part of it is broken".to_owned() }),
            "hold" if holds => loop {
                sink.reached(at)?;
                std::thread::yield_now();
            },
            "hold" => {}
            "panic" => panic!("as the test wants it"),
            what => return Err(Fault::Broken { at, what: format!("{what} is nothing") }),
        }
        at += line.len() as u64 + 1;
        sink.reached(at)?;
    }
    Ok(())
}

/// `night START END HOURS RANK DEVICE [TOLD [HRV]]`; `-` is nothing.
fn night<'a>(words: &[&'a str]) -> Found<'a> {
    let said = |nth: usize| words.get(nth).copied().filter(|word| *word != "-");
    let number = |nth: usize| said(nth).map(|word| word.parse::<f64>().unwrap());
    let time = |nth: usize| said(nth).map(|word| MAY_US + word.parse::<i64>().unwrap() * 1_000_000);
    Found::Night(Night {
        start: time(1).unwrap(),
        end: time(2).unwrap(),
        asleep_h: number(3).unwrap(),
        deep_h: None,
        rem_h: None,
        hrv_ms: number(7),
        told_at: time(6),
        rank: words[4].parse().unwrap(),
        maker: Maker { source: GARMIN, device: said(5) },
    })
}

fn has_ended(import: &Value) -> bool {
    !["queued", "running"].contains(&import["status"].as_str().unwrap())
}

fn small_count(word: &str) -> i64 {
    word.parse().unwrap()
}

const SCRIPTS: Readers = Readers { apple_health: script, garmin: script };
const SCRIPTS_WITHOUT_HOLD: Readers = Readers { apple_health: script_without_hold, garmin: script_without_hold };

/// A server with a runner, and Ada.
struct World {
    stage: Stage,
    ada: Somebody,
    runner: Option<Running>,
}

impl World {
    async fn new() -> Self {
        Self::on(Database::new().await).await
    }

    async fn on(database: Database) -> Self {
        Self::with(database, SCRIPTS).await
    }

    async fn with(database: Database, readers: Readers) -> Self {
        let stage = Stage::importing(database, |state| imports_of(state, readers)).await;
        let ada = stage.patient("Ada").await;
        let runner = Some(stage.state.imports.start());
        Self { stage, ada, runner }
    }

    /// As if the server had started again, with other readers.
    async fn restart(&mut self, readers: Readers) {
        self.runner.take().unwrap().stop().await;
        self.stage.state.imports = imports_of(&self.stage.state, readers);
        self.stage.rewire();
        self.runner = Some(self.stage.state.imports.start());
    }

    async fn send(&self, who: &Header, query: &str, file: &str) -> String {
        let (status, answer) = self.stage.send_file(who, query, None, file.to_owned()).await;
        assert_eq!((status, &answer["status"]), (202, &json!("queued")), "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Waits until an import of Ada's is as wanted.
    async fn until(&self, id: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.stage.read(&self.ada.token, &format!("/imports/{id}")).await;
                if is_wanted(&last) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(waited.is_ok(), "it takes too long: {last}");
        last
    }

    /// Imports a file of Ada's to its end.
    async fn import(&self, query: &str, file: &str) -> Value {
        let id = self.send(&self.ada.write_key, query, file).await;
        self.until(&id, has_ended).await
    }

    /// Ada's points of a metric: time, value, source; the oldest first.
    async fn points(&self, metric: &str) -> Vec<(String, f64, String)> {
        let path = format!("/wearables/metric/{metric}?days=90");
        let window = self.stage.read(&self.ada.token, &path).await;
        let mut points: Vec<_> = window["data_points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| {
                let text = |key: &str| point[key].as_str().unwrap().to_owned();
                (text("recorded_at"), point["value"].as_f64().unwrap(), text("source"))
            })
            .collect();
        points.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
        points
    }

    /// Looks whether an import of Ada's, the only one, has stored as many points as it says.
    async fn took_what_it_says(&self, import: &Value) {
        for metric in ["heart_rate", "steps_sample", "steps"] {
            let said = import["ingested"][metric].as_u64().unwrap_or(0);
            assert_eq!(self.points(metric).await.len() as u64, said, "{metric}: {import}");
            assert!(said > 0, "{metric}: {import}");
        }
    }

    /// Waits until Ada's totals of steps are as wanted, newest last.
    async fn until_steps(&self, wanted: &[(&str, f64)]) {
        let waiting = async {
            loop {
                let steps = self.points("steps").await;
                if steps.iter().map(|(at, value, _)| (at.as_str(), *value)).eq(wanted.iter().copied()) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(waited.is_ok(), "{:?} is not {wanted:?}", self.points("steps").await);
    }

    /// Waits until no file is left: a row says that it ended a moment before its file goes.
    async fn without_files(&self) {
        let waiting = async {
            while !self.files().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("a file goes when it is read");
    }

    /// The files of imports that are there.
    fn files(&self) -> Vec<String> {
        let folder = self.stage.state.config.storage.data_dir.join(upload::FOLDER);
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(PREFIX)).collect()
    }
}

fn imports_of(state: &crate::state::AppState, readers: Readers) -> Imports {
    let uploads = Arc::clone(&state.imports.inner.uploads);
    let engine = Arc::clone(&state.engine);
    Imports::with_readers(state.control.clone(), engine, &state.config, uploads, state.metrics.clone(), readers)
}
