//! Which values of check-ins a search wants, row by row and as a statement.
//!
//! All values of a check-in are alike but its steps: these are the total of a day, `preliminary` until that is over, and final
//! from then on. As days follow each other, what is of a day that is over is what speaks of a moment before today, and a day
//! ends before a moment if it begins before another: so all of it can be said to a database, which knows no time zones.

use sea_orm::ConnectionTrait;

use super::{Search, Statuses};
use crate::control::entities::check_in;
use crate::control::repository::check_ins::{self, Column, Values, Wanted};
use crate::fhir::day::Days;
use crate::fhir::kind::Field;
use crate::fhir::outcome::Failure;

/// Whether a value is in a state that is wanted, and was changed when it is wanted.
pub(super) fn wants(search: &Search, days: &Days, row: &check_in::Model, field: Field) -> bool {
    let states = search.statuses;
    let end = days.end_of_said(field, row.checked_in_at);
    let is_of_state = match end {
        Some(end) if days.is_open(end) => states.preliminary,
        _ if row.updated_at == row.created_at => states.is_final,
        _ => states.amended,
    };
    is_of_state && search.updated.contain(days.changed_us(row.updated_at, end))
}

/// Which check-ins hold what is wanted; `None` if none can.
pub(super) fn wanted_of(search: &Search, days: &Days, fields: &[Field]) -> Option<Wanted> {
    if fields.is_empty() {
        return None;
    }
    let any_of = if takes_steps_apart(search, fields) {
        let others: Vec<Field> = fields.iter().copied().filter(|field| *field != Field::Steps).collect();
        let mut any_of = steps(search, days);
        any_of.extend(values(search, &others));
        any_of
    } else {
        values(search, fields).into_iter().collect()
    };
    Some(Wanted { spoken_of: search.dates.moments().ranges().to_vec(), any_of })
}

/// How many values a search wants.
pub(super) async fn count(
    on: &impl ConnectionTrait,
    search: &Search,
    days: &Days,
    fields: &[Field],
) -> Result<usize, Failure> {
    let (apart, together): (Vec<Field>, Vec<Field>) =
        fields.iter().copied().partition(|field| *field == Field::Steps && takes_steps_apart(search, fields));
    let mut total = 0;
    for fields in [apart, together] {
        let Some(wanted) = wanted_of(search, days, &fields) else { continue };
        let (rows, sleeps, steps) = check_ins::count(on, &search.user, &wanted).await?;
        let of = |field: &Field| match field {
            Field::SleepHours => sleeps,
            Field::Steps => steps,
            Field::Mood | Field::Energy | Field::Focus => rows,
        };
        total += usize::try_from(fields.iter().map(of).sum::<i64>()).unwrap_or(0);
    }
    Ok(total)
}

/// Whether steps are wanted otherwise than the values beside them.
fn takes_steps_apart(search: &Search, fields: &[Field]) -> bool {
    fields.contains(&Field::Steps) && !(search.statuses.is_all() && search.updated.is_all())
}

/// Those of any of these fields, steps not taken apart.
fn values(search: &Search, fields: &[Field]) -> Option<Values> {
    let column = |field: &Field| match field {
        Field::SleepHours => Some(Column::SleepHours),
        Field::Steps => Some(Column::Steps),
        Field::Mood | Field::Energy | Field::Focus => None,
    };
    if fields.is_empty() || !are_over_wanted(search.statuses) {
        return None;
    }
    // One that is always there makes every check-in hold something.
    let says: Option<Vec<_>> = fields.iter().map(column).collect();
    let changed = search.updated.ranges().to_vec();
    Some(Values { changed, is_amended: amended(search.statuses), says: says.unwrap_or_default(), ..Values::all() })
}

/// Whether any of days that are over are wanted.
fn are_over_wanted(states: Statuses) -> bool {
    states.is_final || states.amended
}

/// Of these: whether they must have been amended, or must not; `None` if both are wanted.
fn amended(states: Statuses) -> Option<bool> {
    (states.is_final != states.amended).then_some(states.amended)
}

/// Those in which steps are wanted.
fn steps(search: &Search, days: &Days) -> Vec<Values> {
    let (states, open_from) = (search.statuses, days.open_from());
    let updated: Vec<(i64, i64)> =
        search.updated.ranges().iter().filter_map(|range| days.before_zone(*range)).collect();
    let of_steps = |changed| Values { says: vec![Column::Steps], changed, ..Values::all() };
    let mut any_of = Vec::new();
    if states.preliminary {
        any_of.push(Values { within: (open_from, i64::MAX), ..of_steps(updated.clone()) });
    }
    if !are_over_wanted(states) {
        return any_of;
    }
    let is_amended = amended(states);
    for (start, end) in updated {
        // Both the last change and the end of the day lie before the end, and one of them does not before the start.
        let before = open_from.min(days.begin_of_ending(end));
        any_of.push(Values { within: (i64::MIN, before), is_amended, ..of_steps(vec![(start, end)]) });
        if start > i64::MIN {
            let within = (days.begin_of_ending(start), before);
            any_of.push(Values { within, is_amended, ..of_steps(vec![(i64::MIN, end)]) });
        }
    }
    any_of
}
