//! Questions to a server that does nothing else.

use std::path::Path;
use std::time::Duration;

use super::Bench;
use crate::Result;
use crate::query::{self, QUESTIONS, Question};
use crate::report::Target::{AtLeast, AtMost, None as NoTarget};
use crate::report::{percentile_ms, us_per_point};

/// Times each question is asked over one connection.
const QUESTION_COUNT: usize = 3_000;

impl Bench<'_> {
    /// The three questions to a quiet server, after compaction.
    pub(super) fn questions(&mut self, data_dir: &Path) -> Result<()> {
        const PHASE: &str = "questions, quiet server, after compaction";
        eprintln!("questions to a quiet server");
        let server = self.server(data_dir, &[])?;
        for (question, target) in QUESTIONS.into_iter().zip([0.07, 0.8, 0.2]) {
            let heads = self.question_heads(server.address, question, self.start_us, self.end_us)?;
            let first = self.check(&server, question, &heads, self.people)?;
            let what = format!("{}, first of each person, right", question.name());
            self.report.add(PHASE, what, percentile_ms(&first, 50), "ms", NoTarget);
            let count = if self.args.quick { QUESTION_COUNT / 10 } else { QUESTION_COUNT };
            let before = server.usage()?;
            let ns = query::one_by_one(server.address, &heads, count)?;
            let cpu = us_per_point(server.usage()?.cpu.saturating_sub(before.cpu), count as u64);
            self.report.add_latencies(PHASE, question.name(), &ns, AtMost(target), NoTarget);
            self.report.add(PHASE, format!("{}, server CPU", question.name()), cpu, "µs", NoTarget);
            let time = Duration::from_secs(if self.args.quick { 1 } else { 4 });
            let rate = query::throughput(server.address, &heads, 8, time)?;
            let target = if question == Question::Latest { AtLeast(30_000.0) } else { NoTarget };
            self.report.add(PHASE, format!("{}, 8 connections", question.name()), rate, "1/s", target);
        }
        self.stop(server)?;
        Ok(())
    }
}
