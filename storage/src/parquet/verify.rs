//! Reads a whole file and says what is wrong with it. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMillisecondType;
use futures::StreamExt;
use object_store::ObjectStore;

use super::cache::Footers;
use super::footer::{Footer, Page};
use super::read;
use crate::error::{Error, Result};
use crate::manifest::FileMeta;
use crate::point::{MetricId, TimeRange};
use crate::run::Rows;
use crate::selection::{Columns, Selection, Users};
use crate::tombstone::Mask;

/// Most findings of one kind that a report lists.
const FINDINGS_MAX: usize = 8;

/// Reads everything of a file: checksums of all row groups, the order of all rows, distinct identities, the bounds that
/// the manifest and the page index claim, the number of rows. Gives what is wrong, in words; nothing if it is sound.
///
/// # Errors
/// What the store says when it cannot be read at all; damage is a finding, not an error.
pub(crate) async fn verify(store: Arc<dyn ObjectStore>, file: &FileMeta) -> Result<Vec<String>> {
    let footers = Arc::new(Footers::new(usize::MAX));
    let footer = match footers.get(store.as_ref(), file).await {
        Ok(footer) => footer,
        Err(error) => return finding(error),
    };
    let mut audit = Audit::new(file, &footer);
    let all = Selection { metric: MetricId(0), users: Users::All, times: TimeRange::ALL };
    let mut batches = read(store, Arc::new(file.clone()), footers, all, Columns::ALL, Mask::default());
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => {
                let accepted = batch.column_by_name("accepted_at");
                let accepted = accepted.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
                let accepted = accepted.map(|column| column.values().to_vec()).unwrap_or_default();
                audit.add(&Rows::of(&batch)?, &accepted);
            }
            Err(error) => {
                audit.findings.extend(finding(error)?);
                return Ok(audit.findings);
            }
        }
    }
    Ok(audit.finish())
}

fn finding(error: Error) -> Result<Vec<String>> {
    match error {
        Error::Object { .. } | Error::Io { .. } | Error::Full { .. } => match &error {
            Error::Object { source, .. } if matches!(**source, object_store::Error::NotFound { .. }) => {
                Ok(std::iter::once(format!("{error}: it is not there")).collect())
            }
            _ => Err(error),
        },
        Error::Parquet { ref source, .. } => Ok(std::iter::once(format!("{error}: {source}")).collect()),
        error => Ok(std::iter::once(error.to_string()).collect()),
    }
}

/// What the rows say, against what the manifest and the page index say.
struct Audit<'a> {
    file: &'a FileMeta,
    pages: std::slice::Iter<'a, Page>,
    page: Option<&'a Page>,
    page_rows_left: usize,
    rows: u64,
    last: Option<(String, i64, String, Option<String>)>,
    users: Option<(String, String)>,
    times: (i64, i64),
    accepted_max_ms: i64,
    findings: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

impl<'a> Audit<'a> {
    fn new(file: &'a FileMeta, footer: &'a Footer) -> Self {
        Self {
            file,
            pages: footer.pages.iter(),
            page: None,
            page_rows_left: 0,
            rows: 0,
            last: None,
            users: None,
            times: (i64::MAX, i64::MIN),
            accepted_max_ms: i64::MIN,
            findings: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn find(&mut self, kind: &'static str) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= FINDINGS_MAX {
            self.findings.push(format!("{}: row {}: {kind}", self.file.path, self.rows));
        }
    }

    fn add(&mut self, rows: &Rows, accepted: &[i64]) {
        for row in 0..rows.keys().len() {
            let (user, time, source, device) = rows.key(row).parts();
            let key = (user, time, source, device);
            let last = self
                .last
                .as_ref()
                .map(|(user, time, source, device)| (user.as_str(), *time, source.as_str(), device.as_deref()));
            match last.map(|last| last.cmp(&key)) {
                Some(std::cmp::Ordering::Equal) => self.find("the same identity twice"),
                Some(std::cmp::Ordering::Greater) => self.find("not in order"),
                _ => {}
            }
            if !rows.value(row).is_finite() {
                self.find("a value that is not finite");
            }
            self.check_page(user, time);
            match &mut self.users {
                None => self.users = Some((user.to_owned(), user.to_owned())),
                Some((min, max)) => {
                    if user < min.as_str() {
                        user.clone_into(min);
                    }
                    if user > max.as_str() {
                        user.clone_into(max);
                    }
                }
            }
            self.times = (self.times.0.min(time), self.times.1.max(time));
            self.last = Some((user.to_owned(), time, source.to_owned(), device.map(str::to_owned)));
            self.rows += 1;
        }
        self.accepted_max_ms = accepted.iter().fold(self.accepted_max_ms, |max, ms| max.max(*ms));
    }

    fn check_page(&mut self, user: &str, time: i64) {
        if self.page_rows_left == 0 {
            self.page = self.pages.next();
            self.page_rows_left = self.page.map_or(0, |page| page.rows.len());
        }
        self.page_rows_left = self.page_rows_left.saturating_sub(1);
        let is_inside = self.page.is_some_and(|page| {
            page.users.0.as_str() <= user
                && user <= page.users.1.as_str()
                && page.times.0 <= time
                && time <= page.times.1
        });
        if !is_inside {
            self.find("outside the bounds of its page");
        }
    }

    fn finish(mut self) -> Vec<String> {
        let file = self.file;
        let mut claim = |what: &str, expected: String, found: String| {
            if expected != found {
                self.findings.push(format!("{}: expected {what} {expected}, found {found}", file.path));
            }
        };
        let (user_min, user_max) = self.users.unwrap_or_default();
        claim("rows", file.rows.to_string(), self.rows.to_string());
        claim("smallest user", file.user_min.to_string(), user_min);
        claim("largest user", file.user_max.to_string(), user_max);
        claim("earliest time", file.time_min.to_string(), self.times.0.to_string());
        claim("latest time", file.time_max.to_string(), self.times.1.to_string());
        claim("latest acceptance", file.accepted_max_ms.to_string(), self.accepted_max_ms.to_string());
        for (kind, count) in self.counts {
            if count > FINDINGS_MAX {
                self.findings.push(format!("{}: {} rows more: {kind}", file.path, count - FINDINGS_MAX));
            }
        }
        self.findings
    }
}
