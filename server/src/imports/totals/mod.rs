//! Making the totals of days anew, of all pieces that are known, a month at a time.
//!
//! ```text
//! rows that are not settled ─▶ all pieces around them ─▶ engine::import::day ─▶ totals elsewhere taken back
//!     ─▶ the new ones noted ─▶ points ─▶ rows settled, if they are still those that were read
//! ```
//!
//! Each step can be done twice: what a crash left undone is found by the rows that are not settled. All of it blocks.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use engine::import::day::{Counted, Total};
use engine::import::{Daily, Maker, Withdrawn, health_auto_export};
use sea_orm::ConnectionTrait;

use self::plan::Plan;
use super::append::Appender;
use super::intake::{Days, Intake};
use super::keep::{day_of, pieces, read};
use super::packed::Item;
use super::{Failure, Imports, Person};
use crate::control::entities::{day_piece, day_total};
use crate::control::repository::days::{self, Series};

/// Days of UTC whose rows are settled at once.
const DAYS_AT_ONCE: i64 = 32;

/// Days of UTC around them whose pieces may reach into the same local days.
const DAYS_AROUND: i64 = 8;

/// Local days by which another time zone moves a piece at most.
const DAYS_MOVED: i64 = 2;

/// How often a month is settled anew that another process keeps something in.
const TRIES_MAX: u32 = 10;

const MAKER: &str = "maker";
const PIECES: &str = "pieces";

/// Makes all totals of a person anew that may have changed. Takes a turn for each month.
///
/// # Errors
/// [`Failure`]; what is not done is found again.
pub(super) fn settle(all: &Imports, person: &Person, intake: &mut Intake, out: &mut Appender) -> Result<(), Failure> {
    for (sender, daily) in person.wait(days::unsettled(person.control.read(), person.id()))? {
        let Some(daily) = [Daily::Steps, Daily::Calories].into_iter().find(|known| known.total_metric() == daily)
        else {
            continue;
        };
        let series = Series { user_id: person.id(), sender: &sender, daily: daily.total_metric() };
        let (mut last, mut tries, mut made) = (None, 0, BTreeSet::new());
        while let Some(first) = person.wait(days::first_unsettled(person.control.read(), series))? {
            tries = if last.is_some_and(|last| first <= last) { tries + 1 } else { 1 };
            // Another process goes on keeping something of these days: it makes their totals when it has ended.
            if tries > TRIES_MAX {
                break;
            }
            last = Some(first);
            let _turn = all.turn(person);
            // Zone and priority may have changed meanwhile.
            let person = &all.person(person.user, person.sender, person.runtime.clone())?;
            let month = Month::read(person, series, first)?;
            make(person, series, daily, &month, &mut made, intake, out)?;
        }
    }
    Ok(())
}

/// What was read of a month, and of the days around it.
pub(super) struct Month {
    /// Days of UTC that are settled.
    settled: RangeInclusive<i64>,
    /// Days of UTC whose pieces were read.
    around: RangeInclusive<i64>,
    rows: Vec<day_piece::Model>,
    counted: Vec<Counted>,
    /// Local days whose totals may change.
    touched: BTreeSet<i64>,
    /// Local days whose totals were read.
    local: RangeInclusive<i64>,
    known: Vec<day_total::Model>,
}

impl Month {
    /// Reads the month that begins with a day of UTC.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) fn read(person: &Person, series: Series<'_>, first: i64) -> Result<Self, Failure> {
        let settled = first..=first + DAYS_AT_ONCE - 1;
        let around = first - DAYS_AROUND..=settled.end() + DAYS_AROUND;
        let rows = person.wait(days::pieces_between(person.control.read(), series, around.clone()))?;
        let (counted, touched) = count(person, &rows);
        let (from, to) = (touched.first().copied().unwrap_or(0), touched.last().copied().unwrap_or(0));
        let local = from - DAYS_MOVED..=to + DAYS_MOVED;
        let known = person.wait(days::totals(person.control.read(), series, local.clone()))?;
        Ok(Self { settled, around, rows, counted, touched, local, known })
    }
}

/// Makes the totals of a month; `made` are the local days that are counted in the report already.
///
/// # Errors
/// [`Failure`]; what is not done is found again.
pub(super) fn make(
    person: &Person,
    series: Series<'_>,
    daily: Daily,
    month: &Month,
    made: &mut BTreeSet<i64>,
    intake: &mut Intake,
    out: &mut Appender,
) -> Result<(), Failure> {
    let plan = Plan::of(daily, &person.calendar, &month.counted, &month.touched, &month.known);
    // What stands elsewhere goes, then the new moments are noted, then the totals are stored: whatever is killed when, and
    // whatever is said in between, a total stands at no moment that no row knows.
    withdraw(person, daily, &plan.moved, series.sender, out)?;
    let rows: Vec<_> =
        plan.put.iter().map(|total| total_row(series, total.day, total.start, total.value, PIECES)).collect();
    let Some(known) = note(person, series, month, &rows, &plan.gone)? else { return Ok(()) };
    let maker = Maker { source: series.sender, device: None };
    for Total { day, start, value } in plan.put {
        if let Some(place) = intake.point(daily.total_metric(), value, start, maker)
            // The days at the edges of a month are made with the next one again.
            && made.insert(day)
        {
            intake.count(place);
        }
    }
    if let Some(batch) = intake.rest()? {
        out.send(batch)?;
    }
    out.drain()?;
    mark(person, series, month, &known)
}

/// All pieces, sorted by their start, and the local days that those which are not settled may change.
fn count(person: &Person, rows: &[day_piece::Model]) -> (Vec<Counted>, BTreeSet<i64>) {
    let found: Vec<(&day_piece::Model, usize, Vec<Item>)> = rows
        .iter()
        .map(|row| (row, person.preference(&row.source), pieces(&read(person, row.day, &row.pieces))))
        .collect();
    // The better a maker, the lower its number; whoever is as good as another is ordered by name.
    let mut makers = BTreeSet::new();
    for (row, preference, pieces) in &found {
        makers.extend(pieces.iter().map(|piece| (*preference, piece.rank, &row.source, &row.device)));
    }
    let priorities: BTreeMap<_, u32> = makers.into_iter().zip(0..).collect();
    let (mut counted, mut summed_up) = (Vec::new(), Vec::new());
    let mut touched = BTreeSet::new();
    for (row, preference, pieces) in &found {
        let priority = |rank| priorities.get(&(*preference, rank, &row.source, &row.device)).copied();
        let counted = if row.source == health_auto_export::SOURCE { &mut summed_up } else { &mut counted };
        let from = counted.len();
        counted.extend(pieces.iter().map(|piece| {
            let Item { strand, rank, start, end, value, offset_s, .. } = *piece;
            Counted { strand, priority: priority(rank).unwrap_or(u32::MAX), start, end, value, offset_s }
        }));
        if row.is_settled == 0 {
            touched.extend(days_of(person, counted.get(from..).unwrap_or_default()));
        }
    }
    health_auto_export::shorten(&mut summed_up);
    counted.append(&mut summed_up);
    counted.sort_unstable_by_key(|piece| piece.start);
    (counted, touched)
}

/// The local days that the pieces of a row may change, and those between them: asked once for each offset, as a calendar
/// takes its time.
fn days_of(person: &Person, pieces: &[Counted]) -> BTreeSet<i64> {
    let mut spans: BTreeMap<i32, Counted> = BTreeMap::new();
    for piece in pieces {
        let span = spans.entry(piece.offset_s).or_insert(*piece);
        (span.start, span.end) = (span.start.min(piece.start), span.end.max(piece.end));
    }
    spans.values().flat_map(|span| person.calendar.days_of(span)).collect()
}

fn total_row(series: Series<'_>, day: i64, start: i64, value: f64, origin: &str) -> day_total::Model {
    day_total::Model {
        user_id: series.user_id.to_owned(),
        sender: series.sender.to_owned(),
        daily: series.daily.to_owned(),
        day,
        start,
        value,
        origin: origin.to_owned(),
    }
}

/// Holds the person in a transaction; whether a month is still what was read, with these totals.
async fn is_still(
    person: &Person,
    on: &impl ConnectionTrait,
    series: Series<'_>,
    month: &Month,
    known: &[day_total::Model],
) -> Result<bool, Failure> {
    Ok(person.hold(on).await?
        && days::pieces_between(on, series, month.around.clone()).await? == month.rows
        && days::totals(on, series, month.local.clone()).await? == known)
}

/// Notes totals that are to be stored, and forgets some; what is known then. `None`, if another process has kept something
/// since the month was read, or the person has said something else: then nothing is noted, and it is made anew.
fn note(
    person: &Person,
    series: Series<'_>,
    month: &Month,
    put: &[day_total::Model],
    gone: &[i64],
) -> Result<Option<Vec<day_total::Model>>, Failure> {
    person.wait(async {
        let write = person.control.write().await?;
        if !is_still(person, write.on(), series, month, &month.known).await? {
            return Ok(None);
        }
        days::put_totals(write.on(), put).await?;
        days::forget_totals(write.on(), series, gone).await?;
        let known = days::totals(write.on(), series, month.local.clone()).await?;
        write.commit().await?;
        Ok(Some(known))
    })
}

/// Notes that the pieces of a month are in its totals, under the same conditions.
fn mark(person: &Person, series: Series<'_>, month: &Month, known: &[day_total::Model]) -> Result<(), Failure> {
    person.wait(async {
        let write = person.control.write().await?;
        if !is_still(person, write.on(), series, month, known).await? {
            return Ok(());
        }
        days::settle(write.on(), series, month.settled.clone()).await?;
        Ok(write.commit().await?)
    })
}

/// Remembers totals that makers say: they count before what pieces add up to. Their points are stored already.
///
/// # Errors
/// [`Failure`].
pub(super) fn remember(person: &Person, found: &Days, out: &Appender) -> Result<(), Failure> {
    for daily in [Daily::Steps, Daily::Calories] {
        let series = person.series(daily);
        let said = found.said.iter().filter(|said| said.daily == daily);
        let said: BTreeMap<i64, f64> = said.map(|said| (said.start, said.value)).collect();
        let mut rows: BTreeMap<i64, day_total::Model> = BTreeMap::new();
        for (start, value) in said {
            if let Some(day) = day_of(&person.calendar, start) {
                rows.insert(day, total_row(series, day, start, value, MAKER));
            }
        }
        let (Some(&from), Some(&to)) = (rows.keys().next(), rows.keys().next_back()) else { continue };
        let known = person.wait(days::totals(person.control.read(), series, from..=to))?;
        let stays: BTreeSet<i64> = rows.values().map(|row| row.start).collect();
        let moved: BTreeSet<i64> =
            known.iter().filter(|before| rows.contains_key(&before.day)).map(|before| before.start).collect();
        let moved: Vec<i64> = moved.difference(&stays).copied().collect();
        withdraw(person, daily, &moved, series.sender, out)?;
        let rows: Vec<day_total::Model> = rows.into_values().collect();
        person.wait(async {
            let write = person.control.write().await?;
            person.hold(write.on()).await?;
            days::put_totals(write.on(), &rows).await?;
            Ok::<_, Failure>(write.commit().await?)
        })?;
    }
    Ok(())
}

/// Takes totals back whose days begin elsewhere now.
fn withdraw(person: &Person, daily: Daily, moments: &[i64], sender: &str, out: &Appender) -> Result<(), Failure> {
    let maker = Maker { source: sender, device: None };
    let metric = daily.total_metric();
    let points: Vec<Withdrawn> = moments.iter().map(|at| Withdrawn { at: *at, value: None }).collect();
    out.patiently(|| person.engine.withdraw(&person.runtime, person.user, metric, &points, maker))
}
