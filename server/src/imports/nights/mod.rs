//! Nights of sleep: one that is told again, with another end or by another device of the same maker, takes the place of
//! those that it overlaps, so that none counts twice.
//!
//! ```text
//! nights found ─▶ noted beside those that are known (plan) ─▶ points ─▶ points of displaced ones taken back ─▶ forgotten
//! ```
//!
//! Each step can be done twice, and whatever is killed when, no point of a night stands that no row knows: the next night
//! that overlaps it heals what broke off. A point that says something else than the night did is somebody else's, and stays.
//!
//! Not here: which of two nights stands ([`plan`]); the totals of days.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use engine::import::{NIGHT_METRICS, Withdrawn};
use engine::time::{self, DAY_US};

pub(super) use self::plan::Night;
use self::plan::{Displaced, Id, Known, Plan, Standing};
use super::append::Appender;
use super::intake::{Intake, Owner};
use super::{Failure, Person};
use crate::control::entities::night;
use crate::control::repository::{nights, users};

/// How far a night reaches back at most, microseconds: a start that a file has wrong displaces one night and not a year's.
pub(super) const NIGHT_US_MAX: i64 = DAY_US;

/// Points that are further apart are taken back one after the other: what lies between them is stored again.
const GAP_US_MAX: i64 = 31 * DAY_US;

const CROWDED: &str = "more nights of a day than a server keeps";

const DISPLACED: &str = "a night in whose place another one stands";

/// When what is found was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Now: a sender pushes what it knows.
    Now,
    /// When the file was made, or else when the night ended.
    InFile,
}

/// A night that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    /// Its time of telling is nothing yet.
    pub(super) night: Night,
    /// When the file was made, microseconds UTC, if it says so.
    pub(super) told_at: Option<i64>,
}

/// Stores the nights that were found, in the place of those that they displace.
///
/// # Errors
/// [`Failure`]; what is not done then is done when a night is found again that overlaps the same ones.
pub(super) fn keep(person: &Person, intake: &mut Intake, out: &mut Appender, telling: Telling) -> Result<(), Failure> {
    let heard = intake.nights();
    let Some(around) = around(&heard) else { return Ok(()) };
    let (plan, crowd) = person.wait(note(person, heard, around.clone(), telling))?;
    for night in &crowd {
        intake.skip(CROWDED, &format_args!("{}, until {}", night.owner.source, time::format(night.end)));
    }
    for night in &plan.refused {
        intake.skip(DISPLACED, &format_args!("{}, until {}", night.owner.source, time::format(night.end)));
    }
    for Standing { night, is_found } in &plan.stand {
        for (metric, value) in night.points() {
            if let Some(place) = intake.point(metric, value, night.end, night.owner.maker())
                && *is_found
            {
                intake.count(place);
            }
        }
        if let Some(batch) = intake.ripe()? {
            out.send(batch)?;
        }
    }
    if let Some(batch) = intake.rest()? {
        out.send(batch)?;
    }
    // Nothing is taken back before what stands in its place is durable.
    out.drain()?;
    let stay = plan.stand.iter().map(|standing| &standing.night).chain(&plan.beside);
    take_back(person, out, plan.displaced.iter().map(|displaced| &displaced.night), stay)?;
    let forgotten = person.wait(settle(person, &plan, around))?;
    take_back(person, out, forgotten, &plan.beside)
}

/// The time in which everything lies that says which nights stand: a night that overlaps these, and those that overlap it.
fn around(heard: &[Heard]) -> Option<Range<i64>> {
    let start = heard.iter().map(|heard| heard.night.start).min()?.saturating_sub(NIGHT_US_MAX);
    let end = heard.iter().map(|heard| heard.night.end).max()?.saturating_add(NIGHT_US_MAX);
    Some(start..end)
}

/// Notes what is going to stand, and that it may be stored from now on. Returns that, and the nights for which there is no
/// room.
async fn note(
    person: &Person,
    heard: Vec<Heard>,
    around: Range<i64>,
    telling: Telling,
) -> Result<(Plan, Vec<Night>), Failure> {
    let write = person.control.write().await?;
    // Holds the row: another process that keeps something of the same person waits.
    users::hold(write.on(), person.id()).await?.ok_or(Failure::Gone)?;
    let known = nights::overlapping(write.on(), person.id(), person.sender, around).await?;
    let known: Vec<Known> = known.into_iter().map(Known::from).collect();
    let now_us = person.control.now_us();
    let last = known.iter().map(|known| known.night.told_at.saturating_add(1)).fold(now_us, i64::max);
    let told = |Heard { night, told_at }| {
        let told_at = match telling {
            // Behind whatever was told before, also by a clock that was ahead of ours.
            Telling::Now => last,
            Telling::InFile => told_at.unwrap_or(night.end).min(now_us),
        };
        Night { told_at, ..night }
    };
    let mut found: Vec<Night> = heard.into_iter().map(told).collect();
    let crowd = plan::crowd(&known, &mut found);
    let plan = Plan::of(known, &found);
    let stand = plan.stand.iter().map(|standing| row(person, &standing.night, true));
    let lost = plan.lost.iter().map(|night| row(person, night, false));
    nights::put(write.on(), stand.chain(lost).collect()).await?;
    delete(person, &write, &plan.needless).await?;
    write.commit().await?;
    Ok((plan, crowd))
}

/// Notes that what was displaced is not stored any more. Those that stood, and that their owner has deleted since they were
/// noted.
async fn settle<'a>(person: &Person, plan: &'a Plan, around: Range<i64>) -> Result<Vec<&'a Night>, Failure> {
    let write = person.control.write().await?;
    users::hold(write.on(), person.id()).await?.ok_or(Failure::Gone)?;
    let known = nights::overlapping(write.on(), person.id(), person.sender, around).await?;
    let known: Vec<Night> = known.into_iter().map(|row| Known::from(row).night).collect();
    let known: BTreeSet<Id<'_>> = known.iter().map(Night::id).collect();
    let is_known = |night: &Night| known.contains(&night.id());
    let (needless, lost): (Vec<_>, Vec<_>) = plan.displaced.iter().partition(|displaced| displaced.is_needless);
    let lost = lost.into_iter().filter(|Displaced { night, .. }| is_known(night));
    nights::put(write.on(), lost.map(|Displaced { night, .. }| row(person, night, false)).collect()).await?;
    delete(person, &write, needless.into_iter().map(|displaced| &displaced.night)).await?;
    write.commit().await?;
    Ok(plan.stand.iter().map(|standing| &standing.night).filter(|night| !is_known(night)).collect())
}

async fn delete<'a>(
    person: &Person,
    write: &crate::control::Write,
    gone: impl IntoIterator<Item = &'a Night>,
) -> Result<(), Failure> {
    let rows = gone.into_iter().map(|night| row(person, night, false)).collect();
    Ok(nights::delete(write.on(), person.id(), person.sender, rows).await?)
}

/// Takes back the points of nights, but those that have a place among the points of others.
fn take_back<'a>(
    person: &Person,
    out: &Appender,
    gone: impl IntoIterator<Item = &'a Night>,
    stay: impl IntoIterator<Item = &'a Night>,
) -> Result<(), Failure> {
    let places =
        |night: &'a Night| night.points().map(move |(metric, value)| ((&night.owner, metric, night.end), value));
    let stay: BTreeSet<(&Owner, &str, i64)> = stay.into_iter().flat_map(places).map(|(place, _)| place).collect();
    let mut points: BTreeMap<(&Owner, &'static str), Vec<Withdrawn>> = BTreeMap::new();
    for ((owner, metric, at), value) in gone.into_iter().flat_map(places) {
        if !stay.contains(&(owner, metric, at)) {
            points.entry((owner, metric)).or_default().push(Withdrawn { at, value: Some(value) });
        }
    }
    for ((owner, metric), mut points) in points {
        points.sort_by_key(|point| point.at);
        for near in points.chunk_by(|one, next| next.at - one.at <= GAP_US_MAX) {
            out.patiently(|| person.engine.withdraw(&person.runtime, person.user, metric, near, owner.maker()))?;
        }
    }
    Ok(())
}

fn row(person: &Person, night: &Night, is_stored: bool) -> night::Model {
    let [asleep_h, deep_h, rem_h, hrv_ms] = night.values;
    night::Model {
        user_id: person.id().to_owned(),
        sender: person.sender.to_owned(),
        ended_at: night.end,
        began_at: night.start,
        source: night.owner.source.clone(),
        device: night.owner.device.clone(),
        told_at: night.told_at,
        rank: i32::from(night.rank),
        asleep_h: asleep_h.unwrap_or_default(),
        deep_h,
        rem_h,
        hrv_ms,
        is_stored: i32::from(is_stored),
    }
}

impl From<night::Model> for Known {
    fn from(row: night::Model) -> Self {
        let night = Night {
            owner: Owner { source: row.source, device: row.device },
            start: row.began_at,
            end: row.ended_at,
            told_at: row.told_at,
            rank: u8::try_from(row.rank).unwrap_or(u8::MAX),
            values: [Some(row.asleep_h), row.deep_h, row.rem_h, row.hrv_ms],
        };
        Self { night, is_stored: row.is_stored != 0 }
    }
}

/// Whether a metric is one of a night's.
pub(super) fn is_of_night(metric: &str) -> bool {
    NIGHT_METRICS.contains(&metric)
}
