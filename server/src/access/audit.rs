//! The trail of a patient's data: who read what, when, from where, by which credential.
//!
//! Each record holds the SHA-256 of the one before it, and its own over all its fields, so that nobody can change, put
//! in or take out a record without changing every later one; `audit_heads` says where each trail ends, so that a cut is
//! seen too. Whoever can write to the whole database can make a new trail: an operator who wants to prove that nobody
//! did keeps a copy of the heads elsewhere.
//!
//! A hash is taken over the fields in the order of [`hash_of`]: numbers as eight bytes, little-endian; texts as the
//! length and their bytes; what may be absent begins with a byte 0 or 1. The SHA-256 of what was asked in SQL follows last,
//! and only where it was: its text is kept once in `audit_queries`, and may be erased without harm to the chain.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use sha2::{Digest, Sha256};

use crate::control::entities::audit_record::Model;
use crate::control::repository::audit_many::Own;
use crate::control::repository::{audit, audit_many};
use crate::control::{self, Control};

/// Rows that are read at once when all trails are checked.
const PAGE_ROWS: u64 = 1_000;

/// What was read, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The operation, in a word.
    pub what: &'static str,
    /// Which metric, where it is one.
    pub metric: Option<String>,
    /// From when to when, microseconds; the end is exclusive.
    pub range: Option<(i64, i64)>,
}

/// Who read, by what, from where.
#[derive(Debug, Clone)]
pub(super) struct Actor<'a> {
    pub(super) id: &'a str,
    pub(super) means: &'static str,
    pub(super) means_id: &'a str,
    pub(super) address: String,
}

/// Appends a record to a patient's trail, inside the caller's transaction.
///
/// # Errors
/// [`control::Error::Database`]; then nothing may be answered.
pub(super) async fn append(
    on: &impl ConnectionTrait,
    (patient_id, grant_id): (&str, &str),
    actor: Actor<'_>,
    look: Look,
    now_us: i64,
) -> control::Result<()> {
    let head = audit::hold_head(on, patient_id).await?;
    let mut record = Model {
        patient_id: patient_id.to_owned(),
        seq: head.seq.saturating_add(1),
        at: now_us,
        actor_id: actor.id.to_owned(),
        means: actor.means.to_owned(),
        means_id: actor.means_id.to_owned(),
        grant_id: grant_id.to_owned(),
        what: look.what.to_owned(),
        metric: look.metric,
        range_start: look.range.map(|(start, _)| start),
        range_end: look.range.map(|(_, end)| end),
        address: actor.address,
        query_hash: None,
        prev_hash: head.hash,
        hash: Vec::new(),
    };
    record.hash = hash_of(&record).to_vec();
    audit::append(on, record).await
}

/// Appends a record to the trail of each of many patients, named with their grants and sorted, and keeps what was asked of
/// them where that is a text; inside the caller's transaction. Cost: three statements for each hundred patients.
///
/// # Errors
/// As [`append`].
pub(super) async fn append_to_all(
    on: &impl ConnectionTrait,
    patients: &[(&str, &str)],
    actor: &Actor<'_>,
    (what, asked): (&'static str, Option<String>),
    now_us: i64,
) -> control::Result<()> {
    let query_hash = asked.as_ref().map(|asked| Sha256::digest(asked.as_bytes()).to_vec());
    if let (Some(hash), Some(asked)) = (&query_hash, asked) {
        audit_many::keep_query(on, hash.clone(), asked).await?;
    }
    let ids: Vec<&str> = patients.iter().map(|(patient_id, _)| *patient_id).collect();
    let mut heads = audit_many::hold_heads(on, &ids).await?;
    let mut look = Model {
        patient_id: String::new(),
        seq: 0,
        at: now_us,
        actor_id: actor.id.to_owned(),
        means: actor.means.to_owned(),
        means_id: actor.means_id.to_owned(),
        grant_id: String::new(),
        what: what.to_owned(),
        metric: None,
        range_start: None,
        range_end: None,
        address: actor.address.clone(),
        query_hash,
        prev_hash: Vec::new(),
        hash: Vec::new(),
    };
    let mut records = Vec::with_capacity(patients.len());
    for (patient_id, grant_id) in patients {
        let (seq, prev_hash) = heads.remove(*patient_id).map_or((0, vec![0; 32]), |head| (head.seq, head.hash));
        (*patient_id).clone_into(&mut look.patient_id);
        (*grant_id).clone_into(&mut look.grant_id);
        (look.seq, look.prev_hash) = (seq.saturating_add(1), prev_hash);
        records.push(Own {
            patient_id: look.patient_id.clone(),
            seq: look.seq,
            grant_id: look.grant_id.clone(),
            prev_hash: look.prev_hash.clone(),
            hash: hash_of(&look).to_vec(),
        });
    }
    audit_many::append(on, &look, records).await
}

/// SHA-256 of a record's fields, the hash of the record before among them.
fn hash_of(record: &Model) -> [u8; 32] {
    let mut hash = Sha256::new();
    let text = |hash: &mut Sha256, bytes: &[u8]| {
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    };
    text(&mut hash, &record.prev_hash);
    text(&mut hash, record.patient_id.as_bytes());
    hash.update(record.seq.to_le_bytes());
    hash.update(record.at.to_le_bytes());
    for field in [&record.actor_id, &record.means, &record.means_id, &record.grant_id, &record.what, &record.address] {
        text(&mut hash, field.as_bytes());
    }
    hash.update([u8::from(record.metric.is_some())]);
    text(&mut hash, record.metric.as_deref().unwrap_or_default().as_bytes());
    for moment in [record.range_start, record.range_end] {
        hash.update([u8::from(moment.is_some())]);
        hash.update(moment.unwrap_or_default().to_le_bytes());
    }
    // Records of before there was SQL end here.
    if let Some(query_hash) = &record.query_hash {
        text(&mut hash, query_hash);
    }
    hash.finalize().into()
}

/// A trail that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Whose trail.
    pub patient_id: String,
    /// The first record that is wrong.
    pub seq: i64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a check of all trails found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Records that were read.
    pub records: u64,
    /// The first break of each trail that has one.
    pub breaks: Vec<Break>,
}

/// Checks every record of every trail, as they all are at one moment: what is appended meanwhile, by this process or
/// another, is neither checked nor missed. Cost: one pass over the table; memory for one page and the ends of all trails.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn verify(control: &Control) -> control::Result<Checked> {
    let snapshot = control.snapshot().await?;
    let heads = heads(&snapshot).await?;
    let mut ends: Ends = BTreeMap::new();
    let mut checked = Checked::default();
    let mut last: Option<Model> = None;
    loop {
        let after = last.as_ref().map_or(("", 0), |last| (last.patient_id.as_str(), last.seq));
        let page = audit::walk(&snapshot, after, PAGE_ROWS).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            checked.records += 1;
            let before = last.filter(|last| last.patient_id == record.patient_id);
            if let Some(what) = fault_of(&record, before.as_ref()) {
                checked.note(&record.patient_id, record.seq, what);
            }
            ends.insert(record.patient_id.clone(), (record.seq, record.hash.clone()));
            last = Some(record);
        }
    }
    for (patient_id, head) in &heads {
        if head.0 > 0 && !ends.contains_key(patient_id) {
            checked.note(patient_id, head.0, "every record is gone");
        }
    }
    for (patient_id, end) in &ends {
        if heads.get(patient_id) != Some(end) {
            checked.note(patient_id, end.0, "the trail does not end here");
        }
    }
    Ok(checked)
}

/// Number and hash of each trail's last record, by patient.
type Ends = BTreeMap<String, (i64, Vec<u8>)>;

impl Checked {
    /// Notes the first break of a trail; what follows it is no news.
    fn note(&mut self, patient_id: &str, seq: i64, what: &'static str) {
        if self.breaks.iter().all(|found| found.patient_id != patient_id) {
            self.breaks.push(Break { patient_id: patient_id.to_owned(), seq, what });
        }
    }
}

async fn heads(on: &impl ConnectionTrait) -> control::Result<Ends> {
    let mut heads = Ends::new();
    let mut after = String::new();
    loop {
        let page = audit::heads(on, &after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(heads) };
        after.clone_from(&last.patient_id);
        heads.extend(page.into_iter().map(|head| (head.patient_id, (head.seq, head.hash))));
    }
}

/// What is wrong with a record, given the one before it in its trail.
fn fault_of(record: &Model, before: Option<&Model>) -> Option<&'static str> {
    let (seq, prev_hash) = before.map_or((0, [0; 32].as_slice()), |before| (before.seq, before.hash.as_slice()));
    if record.seq != seq + 1 {
        Some("a record before it is not there")
    } else if record.prev_hash != prev_hash {
        Some("does not follow the record before it")
    } else if record.hash != hash_of(record) {
        Some("was changed")
    } else {
        None
    }
}
