//! Making the totals of days anew, of all pieces that are known, a month at a time.
//!
//! ```text
//! rows that are not settled ─▶ all pieces around them ─▶ engine::import::day ─▶ points ─▶ rows settled
//! ```
//!
//! Each step can be done twice: what a crash left undone is found by the rows that are not settled. All of it blocks.

use std::collections::{BTreeMap, BTreeSet};

use engine::import::day::{self, Counted, Total};
use engine::import::{Daily, Maker};

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
const DAYS_AROUND: i64 = 6;

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
        let (mut last, mut made) = (None, BTreeSet::new());
        while let Some(first) = person.wait(days::first_unsettled(person.control.read(), series))? {
            // Another process goes on making them unsettled, or the clock of days is broken.
            if last.is_some_and(|last| first <= last) {
                break;
            }
            last = Some(first);
            let _turn = all.turn(person);
            // Zone and priority may have changed meanwhile.
            let person = &all.person(person.user, person.sender, person.runtime.clone())?;
            slice(person, series, daily, first, &mut made, intake, out)?;
        }
    }
    Ok(())
}

/// Settles the rows of a month.
fn slice(
    person: &Person,
    series: Series<'_>,
    daily: Daily,
    first: i64,
    made: &mut BTreeSet<i64>,
    intake: &mut Intake,
    out: &mut Appender,
) -> Result<(), Failure> {
    let settled = first..=first + DAYS_AT_ONCE - 1;
    let around = first - DAYS_AROUND..=settled.end() + DAYS_AROUND;
    let rows = person.wait(days::pieces_between(person.control.read(), series, around))?;
    let (counted, touched) = count(person, &rows);
    let (Some(&from), Some(&to)) = (touched.first(), touched.last()) else {
        return Ok(mark(person, series, settled, &[])?);
    };
    let known = person.wait(days::totals(person.control.read(), series, from..=to))?;
    let known: BTreeMap<i64, day_total::Model> = known.into_iter().map(|row| (row.day, row)).collect();
    let totals = day::totals(&person.calendar, &counted, &touched);
    let mut stored = Vec::with_capacity(totals.len());
    for Total { day, start, value } in totals {
        let before = known.get(&day);
        if before.is_some_and(|before| before.origin == MAKER) {
            continue;
        }
        if let Some(before) = before.filter(|before| before.start != start) {
            remove(person, daily, before.start, series.sender)?;
        }
        // There are no parts of a step.
        let value = if daily == Daily::Steps { value.round() } else { value };
        let maker = Maker { source: series.sender, device: None };
        if let Some(place) = intake.point(daily.total_metric(), value, start, maker) {
            // The days at the edges of a month are made with the next one again.
            if made.insert(day) {
                intake.count(place);
            }
            stored.push(total_row(series, day, start, value, PIECES));
        }
    }
    if let Some(batch) = intake.rest()? {
        out.send(batch)?;
    }
    out.drain()?;
    Ok(mark(person, series, settled, &stored)?)
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
    let mut counted = Vec::new();
    let mut touched = BTreeSet::new();
    for (row, preference, pieces) in &found {
        let priority = |rank| priorities.get(&(*preference, rank, &row.source, &row.device)).copied();
        let from = counted.len();
        counted.extend(pieces.iter().map(|piece| {
            let Item { strand, rank, start, end, value, offset_s, .. } = *piece;
            Counted { strand, priority: priority(rank).unwrap_or(u32::MAX), start, end, value, offset_s }
        }));
        if row.is_settled == 0 {
            touched.extend(days_of(person, counted.get(from..).unwrap_or_default()));
        }
    }
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

/// Notes totals, and that the pieces of these days are in them.
fn mark(
    person: &Person,
    series: Series<'_>,
    days_of_utc: std::ops::RangeInclusive<i64>,
    totals: &[day_total::Model],
) -> crate::control::Result<()> {
    person.wait(async {
        let write = person.control.write().await?;
        days::put_totals(write.on(), totals).await?;
        days::settle(write.on(), series, days_of_utc).await?;
        write.commit().await
    })
}

/// Remembers totals that makers say: they count before what pieces add up to. Their points are stored already.
///
/// # Errors
/// [`Failure`].
pub(super) fn remember(person: &Person, found: &Days) -> Result<(), Failure> {
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
        for before in person.wait(days::totals(person.control.read(), series, from..=to))? {
            if let Some(row) = rows.get(&before.day).filter(|row| row.start != before.start) {
                tracing::debug!(day = row.day, "a day begins elsewhere than before");
                remove(person, daily, before.start, series.sender)?;
            }
        }
        let rows: Vec<day_total::Model> = rows.into_values().collect();
        person.wait(async {
            let write = person.control.write().await?;
            days::put_totals(write.on(), &rows).await?;
            write.commit().await
        })?;
    }
    Ok(())
}

/// Removes the point of a total whose day begins elsewhere now.
fn remove(person: &Person, daily: Daily, at: i64, sender: &str) -> Result<(), Failure> {
    let maker = Maker { source: sender, device: None };
    Ok(person.wait(person.engine.withdraw(person.user, daily.total_metric(), at, maker))?)
}
