//! Figures about this server, as Prometheus reads them. Every name stands here and nowhere else.
//!
//! | name                                   | kind      | meaning                                                  |
//! |----------------------------------------|-----------|----------------------------------------------------------|
//! | `avycenna_http_requests_total`         | counter   | answers, by `class` of status (`2xx` …)                  |
//! | `avycenna_http_request_seconds`        | histogram | time from a request's headers to the head of its answer  |
//! | `avycenna_http_requests_in_flight`     | gauge     | requests whose answer has not begun                      |
//! | `avycenna_http_connections`            | gauge     | open connections                                         |
//! | `avycenna_flight_connections`          | gauge     | open connections of Flight SQL                           |
//! | `avycenna_http_panics_total`           | counter   | requests that ended in a panic                           |
//! | `avycenna_exports_running`             | gauge     | exports that are being written                           |
//! | `avycenna_imports_running`             | gauge     | imports that are being read                              |
//! | `avycenna_fhir_exports_running`        | gauge     | exports of FHIR (`$export`) that are not over            |
//! | `avycenna_fhir_exports_total`          | counter   | exports of FHIR that are over, by `outcome`              |
//! | `avycenna_fhir_export_resources_total` | counter   | resources in files of exports that can be read           |
//! | `avycenna_fhir_export_bytes_total`     | counter   | their bytes                                              |
//! | `avycenna_queries_running`             | gauge     | queries in SQL that are planned or run                   |
//! | `avycenna_writable`                    | gauge     | 1 if points are taken                                    |
//! | `avycenna_webhooks_queued`             | gauge     | deliveries that wait for their next try                  |
//! | `avycenna_webhooks_oldest_due_seconds` | gauge     | for how long the first of them has been due              |
//! | `avycenna_webhooks_in_flight`          | gauge     | requests to receivers that are not answered yet          |
//! | `avycenna_webhooks_delivered_total`    | counter   | deliveries that a receiver took                          |
//! | `avycenna_webhooks_retried_total`      | counter   | tries that failed and are made again                     |
//! | `avycenna_webhooks_dropped_total`      | counter   | deliveries that were given up                            |
//! | `process_resident_memory_bytes`        | gauge     | memory of the process                                    |
//! | `process_cpu_seconds_total`            | gauge     | processor time of the process, user and system           |
//!
//! The storage's own figures ([`storage::metrics`]) follow behind these.

use std::fmt::{self, Write as _};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::webhooks::Step;

/// Bounds of the histogram's buckets, seconds.
const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How often the histogram's new values are folded into its buckets, at least.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Ticks of `/proc/self/stat` a second: fixed by Linux for user space on every architecture (`proc(5)`, USER_HZ).
const TICKS_PER_S: f64 = 100.0;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The figures. `Clone` shares them.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    answers: [Counter; 5],
    seconds: Histogram,
    /// Requests whose answer has not begun.
    pub in_flight: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Open connections of Flight SQL.
    pub flight_connections: Gauge,
    /// Requests that ended in a panic.
    pub panics: Counter,
    /// What webhooks do.
    pub webhooks: Figures,
    /// Exports that are being written.
    pub exports: Gauge,
    /// Imports that are being read.
    pub imports: Gauge,
    /// What exports of FHIR do.
    pub fhir_exports: FhirExports,
    /// Queries in SQL that are planned or run.
    pub queries: Gauge,
    writable: Gauge,
    resident: Gauge,
    cpu: Gauge,
}

/// What webhooks do. `Clone` shares it.
#[derive(Clone)]
pub struct Figures {
    queued: Gauge,
    oldest_due: Gauge,
    in_flight: Gauge,
    delivered: Counter,
    retried: Counter,
    dropped: Counter,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

/// What exports of FHIR do. `Clone` shares it.
#[derive(Clone)]
pub struct FhirExports {
    running: Gauge,
    /// Exports whose files can be read.
    pub done: Counter,
    /// Exports that could not go on.
    pub failed: Counter,
    /// Exports that were cancelled while they ran.
    pub cancelled: Counter,
    resources: Counter,
    bytes: Counter,
}

impl fmt::Debug for FhirExports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FhirExports").finish_non_exhaustive()
    }
}

impl FhirExports {
    fn new() -> Self {
        let ended = |outcome: &'static str| counter!("avycenna_fhir_exports_total", "outcome" => outcome);
        Self {
            running: gauge!("avycenna_fhir_exports_running"),
            done: ended("done"),
            failed: ended("failed"),
            cancelled: ended("cancelled"),
            resources: counter!("avycenna_fhir_export_resources_total"),
            bytes: counter!("avycenna_fhir_export_bytes_total"),
        }
    }

    /// Notes how many are not over.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody counts beyond 2^53")]
    pub(crate) fn running(&self, count: u64) {
        self.running.set(count as f64);
    }

    /// Counts a file that can be read.
    pub(crate) fn written(&self, resources: i64, bytes: i64) {
        self.resources.increment(resources.unsigned_abs());
        self.bytes.increment(bytes.unsigned_abs());
    }
}

/// A request to a receiver; over when it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Flight(Figures);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.decrement(1.0);
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            queued: gauge!("avycenna_webhooks_queued"),
            oldest_due: gauge!("avycenna_webhooks_oldest_due_seconds"),
            in_flight: gauge!("avycenna_webhooks_in_flight"),
            delivered: counter!("avycenna_webhooks_delivered_total"),
            retried: counter!("avycenna_webhooks_retried_total"),
            dropped: counter!("avycenna_webhooks_dropped_total"),
        }
    }

    /// Counts a request in until what is answered is dropped.
    pub(crate) fn fly(&self) -> Flight {
        self.in_flight.increment(1.0);
        Flight(self.clone())
    }

    /// Counts what came of a try.
    pub(crate) fn landed(&self, step: Step) {
        match step {
            Step::Delivered => self.delivered.increment(1),
            Step::Retry { .. } => self.retried.increment(1),
            Step::Dropped => self.dropped.increment(1),
        }
    }

    /// Counts deliveries that were given up together.
    pub(crate) fn dropped(&self, count: usize) {
        self.dropped.increment(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Notes how many deliveries wait, and for how long the first of them has been due.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody counts beyond 2^53")]
    pub(crate) fn waiting(&self, count: i64, oldest_due_us: Option<i64>) {
        self.queued.set(count as f64);
        self.oldest_due.set(oldest_due_us.unwrap_or(0).max(0) as f64 / 1e6);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Figures of one server, all 0. Nothing global: two servers in one process count apart.
    pub fn new() -> Self {
        // The bounds are not empty, which is all that could be wrong with them.
        let builder = PrometheusBuilder::new();
        let recorder = match builder.set_buckets(&SECONDS) {
            Ok(builder) => builder.build_recorder(),
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            describe();
            Self {
                handle,
                answers: CLASSES.map(|class| counter!("avycenna_http_requests_total", "class" => class)),
                seconds: histogram!("avycenna_http_request_seconds"),
                in_flight: gauge!("avycenna_http_requests_in_flight"),
                connections: gauge!("avycenna_http_connections"),
                flight_connections: gauge!("avycenna_flight_connections"),
                panics: counter!("avycenna_http_panics_total"),
                webhooks: Figures::new(),
                exports: gauge!("avycenna_exports_running"),
                imports: gauge!("avycenna_imports_running"),
                fhir_exports: FhirExports::new(),
                queries: gauge!("avycenna_queries_running"),
                writable: gauge!("avycenna_writable"),
                resident: gauge!("process_resident_memory_bytes"),
                cpu: gauge!("process_cpu_seconds_total"),
            }
        })
    }

    /// Counts an answer.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answers.get(class) {
            counter.increment(1);
        }
        self.seconds.record(took.as_secs_f64());
    }

    /// Folds new values into the buckets, so that they do not pile up.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// All figures as text, format 0.0.4.
    pub fn render(&self, health: &storage::Health, storage: &storage::metrics::Metrics) -> String {
        self.writable.set(if *health == storage::Health::Writable { 1.0 } else { 0.0 });
        if let Some((resident_bytes, cpu_s)) = process() {
            self.resident.set(resident_bytes);
            self.cpu.set(cpu_s);
        }
        let mut text = self.handle.render();
        for figure in storage.all() {
            let kind = if figure.is_counter { "counter" } else { "gauge" };
            let (name, help) = (figure.name, figure.help);
            // Writing into memory cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {}\n\n", figure.get());
        }
        text
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("avycenna_http_requests_total", "Answers by class of status");
    describe_histogram!("avycenna_http_request_seconds", "Time from a request's headers to the head of its answer");
    describe_gauge!("avycenna_http_requests_in_flight", "Requests whose answer has not begun");
    describe_gauge!("avycenna_http_connections", "Open connections");
    describe_gauge!("avycenna_flight_connections", "Open connections of Flight SQL");
    describe_counter!("avycenna_http_panics_total", "Requests that ended in a panic");
    describe_gauge!("avycenna_exports_running", "Exports that are being written");
    describe_gauge!("avycenna_imports_running", "Imports that are being read");
    describe_gauge!("avycenna_fhir_exports_running", "Exports of FHIR that are not over");
    describe_counter!("avycenna_fhir_exports_total", "Exports of FHIR that are over, by outcome");
    describe_counter!("avycenna_fhir_export_resources_total", "Resources in files of exports that can be read");
    describe_counter!("avycenna_fhir_export_bytes_total", "Bytes of files of exports that can be read");
    describe_gauge!("avycenna_queries_running", "Queries in SQL that are planned or run");
    describe_gauge!("avycenna_writable", "1 if points are taken");
    describe_gauge!("avycenna_webhooks_queued", "Deliveries that wait for their next try");
    describe_gauge!("avycenna_webhooks_oldest_due_seconds", "For how long the first of them has been due");
    describe_gauge!("avycenna_webhooks_in_flight", "Requests to receivers that are not answered yet");
    describe_counter!("avycenna_webhooks_delivered_total", "Deliveries that a receiver took");
    describe_counter!("avycenna_webhooks_retried_total", "Tries that failed and are made again");
    describe_counter!("avycenna_webhooks_dropped_total", "Deliveries that were given up");
    describe_gauge!("process_resident_memory_bytes", "Memory of the process");
    describe_gauge!("process_cpu_seconds_total", "Processor time of the process, user and system");
}

/// Resident bytes and processor seconds of this process; `None` where there is no `/proc`.
fn process() -> Option<(f64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = resident.trim().trim_end_matches(" kB").parse().ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in brackets, which may hold anything; `utime` and `stime` are the 12th and 13th
    // behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((kib * 1_024.0, (ticks()? + ticks()?) / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown_under_its_documented_name() {
        let metrics = Metrics::new();
        metrics.answered(StatusCode::OK, Duration::from_millis(3));
        metrics.answered(StatusCode::NOT_FOUND, Duration::from_millis(3));
        metrics.in_flight.increment(1.0);
        metrics.connections.increment(1.0);
        metrics.flight_connections.increment(1.0);
        metrics.panics.increment(1);
        metrics.exports.increment(1.0);
        metrics.queries.increment(1.0);
        let text = metrics.render(&storage::Health::Writable, &storage::metrics::Metrics::default());
        assert!(text.contains("avycenna_http_requests_total{class=\"2xx\"} 1\n"), "{text}");
        assert!(
            text.contains("# TYPE avycenna_points_accepted_total counter\navycenna_points_accepted_total 0\n"),
            "{text}"
        );
        assert!(text.contains("avycenna_writable 1\n"), "{text}");
        assert!(text.contains("avycenna_http_request_seconds_bucket{le=\"0.005\"} 2\n"), "{text}");
        let documented = include_str!("metrics.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        for name in documented.filter_map(|line| line.split('`').next()) {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} in {text}");
        }
    }

    #[test]
    fn the_process_knows_its_own_size() {
        let (resident_bytes, cpu_s) = process().unwrap();
        assert!(resident_bytes > 100_000.0 && cpu_s >= 0.0);
    }
}
