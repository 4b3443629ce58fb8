//! `Observation/$stats`: figures of each day.
//!
//! R4's operation gives one observation for each code, with a component for each statistic; this one gives one for each
//! code and local day. The figures are those of the API's `bucket=1d`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use engine::time::DAY_US;
use engine::{Aggregate, BucketQuery, BucketWidth, JsonBody};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use storage::{TimeRange, UserId};

use super::entry::Invoked;
use crate::access::{Look, Visitor};
use crate::auth::Role;
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer};
use crate::fhir::day::Days;
use crate::fhir::kind::{Form, Kind, Series, UCUM};
use crate::fhir::outcome::Failure;
use crate::fhir::render::patient_id;
use crate::fhir::search::parameter::Parameters;
use crate::fhir::search::parse::Reading;
use crate::fhir::visit::{Inside, Visit, Wish};
use crate::state::AppState;

/// Longest time that figures are made of, days.
const DAYS_MAX: i64 = 366;

/// Days, if the client does not say.
const DAYS_DEFAULT: i64 = 30;

/// What may be asked.
const PARAMETERS: [&str; 6] = ["code", "date", "patient", "statistic", "subject", "tz"];

const STATISTICS: &str = "http://terminology.hl7.org/CodeSystem/observation-statistics";

/// FHIR's words, for people and for machines, and ours.
const WORDS: [(&str, &str, Aggregate); 7] = [
    ("average", "Average", Aggregate::Avg),
    ("maximum", "Maximum", Aggregate::Max),
    ("minimum", "Minimum", Aggregate::Min),
    ("count", "Count", Aggregate::Count),
    ("median", "Median", Aggregate::P50),
    ("std-dev", "Standard Deviation", Aggregate::Stddev),
    ("sum", "Sum", Aggregate::Sum),
];

/// What comes if the client does not say.
const WORDS_DEFAULT: usize = 4;

/// What is asked.
struct Question<'a> {
    kinds: Vec<&'a Kind>,
    words: Vec<(&'static str, &'static str, Aggregate)>,
    times: TimeRange,
    zone: Option<&'a str>,
}

/// Figures of each day as Parameters, with a `statistics` for each code and day, the newest day of a code first.
pub(super) async fn stats(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    invoked: Invoked,
) -> Result<Response, Failure> {
    let parameters = invoked.parameters(&PARAMETERS)?;
    let ids = state.fhir.ids(&state.control).await?;
    let principal = visitor.principal();
    let own = (principal.role == Role::Patient).then_some(principal.user);
    let search = Reading { kinds: state.fhir.kinds(), ids, base: &base, own }.search(&parameters)?;
    let now_us = state.clock.now_us();
    let question = Question {
        kinds: metrics(search.kinds(state.fhir.kinds()), parameters.has("code"))?,
        words: words(&parameters)?,
        times: times(search.dates.moments(), now_us)?,
        zone: parameters.one("tz")?,
    };
    let metric = question.kinds.first().filter(|_| question.kinds.len() == 1).map(|kind| (*kind.name).to_owned());
    let look = Look { what: "fhir_statistics", metric, range: Some((question.times.start, question.times.end)) };
    let visit = Visit::begin(&state, &visitor, &search.user, Wish::Points, look).await?;
    let mut inside = visit.enter().await?;
    let zone = match question.zone {
        Some(zone) => zone.to_owned(),
        None => inside.patient(&state).await?.timezone.clone(),
    };
    if jiff::tz::TimeZone::get(&zone).is_err() {
        return Err(Failure::value("tz", "must be the IANA name of a time zone, such as Europe/Berlin"));
    }
    let days = Days::new(&zone, now_us);
    let mut found = Vec::new();
    for kind in &question.kinds {
        found.extend(of_kind(&state, &inside, &question, (&zone, &days), kind).await?);
    }
    let found: Vec<Value> =
        found.into_iter().map(|resource| json!({"name": "statistics", "resource": resource})).collect();
    let mut body = json!({"resourceType": "Parameters"});
    if let (false, Some(fields)) = (found.is_empty(), body.as_object_mut()) {
        fields.insert("parameter".to_owned(), Value::Array(found));
    }
    Ok(answer(body.to_string()))
}

/// Those of the kinds that are made of points.
fn metrics<'a>(kinds: impl Iterator<Item = &'a Kind>, has_code: bool) -> Result<Vec<&'a Kind>, Failure> {
    if !has_code {
        return Err(Failure::required("code", "figures of which codes?"));
    }
    let kinds: Vec<&Kind> = kinds.filter(|kind| matches!(kind.series, Series::Metric(_))).collect();
    if kinds.is_empty() {
        return Err(Failure::value("code", "no figures are made of this code"));
    }
    Ok(kinds)
}

fn words(parameters: &Parameters) -> Result<Vec<(&'static str, &'static str, Aggregate)>, Failure> {
    let mut words = Vec::new();
    for asked in parameters.lists("statistic")?.iter().flatten() {
        let Some(word) = WORDS.iter().find(|(word, ..)| *word == &**asked) else {
            let known: Vec<_> = WORDS.iter().map(|(word, ..)| *word).collect();
            return Err(Failure::value("statistic", format!("must be one of {}", known.join(", "))));
        };
        if !words.contains(word) {
            words.push(*word);
        }
    }
    if words.is_empty() {
        words.extend(WORDS.iter().take(WORDS_DEFAULT));
    }
    Ok(words)
}

/// From when to when: what `date` says, the last days where it says nothing.
fn times(dates: &crate::fhir::search::date::Moments, now_us: i64) -> Result<TimeRange, Failure> {
    if !dates.is_one() {
        return Err(Failure::value("date", "must be one range of time"));
    }
    let mut times = dates.hull();
    if times.end > now_us.saturating_add(DAY_US) {
        times.end = now_us.saturating_add(DAY_US);
    }
    if dates.is_all() {
        times.start = now_us.saturating_sub(DAYS_DEFAULT * DAY_US);
    }
    if times.end.saturating_sub(times.start) > DAYS_MAX * DAY_US {
        return Err(Failure::value("date", format!("at most {DAYS_MAX} days")));
    }
    Ok(times)
}

/// The API's answer, with numbers as they were written.
#[derive(Deserialize)]
struct Answer {
    buckets: Vec<BTreeMap<String, Box<RawValue>>>,
}

async fn of_kind(
    state: &AppState,
    inside: &Inside,
    question: &Question<'_>,
    (zone, days): (&str, &Days),
    kind: &Kind,
) -> Result<Vec<Value>, Failure> {
    let query = BucketQuery {
        metric: (*kind.name).to_owned(),
        times: question.times,
        source: None,
        width: BucketWidth::Day,
        aggregates: question.words.iter().map(|(.., aggregate)| *aggregate).collect(),
        tz: zone.to_owned(),
    };
    let bytes = inside.behind(async {
        match state.engine.bucket(inside.user, query).await? {
            JsonBody::Whole(bytes) => Ok(bytes.to_vec()),
            JsonBody::Stream(pieces) => {
                pieces
                    .try_fold(Vec::new(), |mut all, piece| async move {
                        all.extend_from_slice(&piece);
                        Ok(all)
                    })
                    .await
            }
        }
    });
    let answer: Answer = serde_json::from_slice(&bytes.await?).map_err(ApiError::internal)?;
    let of_day = |bucket: &BTreeMap<String, Box<RawValue>>| statistics(question, kind, inside.user, days, bucket);
    answer.buckets.iter().map(of_day).collect()
}

/// The figures of a day as an Observation.
fn statistics(
    question: &Question<'_>,
    kind: &Kind,
    user: UserId,
    days: &Days,
    bucket: &BTreeMap<String, Box<RawValue>>,
) -> Result<Value, Failure> {
    let start: String = bucket
        .get("start")
        .map_or(Ok(String::new()), |start| serde_json::from_str(start.get()))
        .map_err(ApiError::internal)?;
    let end = engine::time::parse(&start).and_then(|start| days.end(start));
    let is_open = end.is_some_and(|end| days.is_open(end));
    let mut components = Vec::new();
    for (word, display, aggregate) in &question.words {
        let Some(figure) = bucket.get(aggregate.as_str()).filter(|figure| figure.get() != "null") else { continue };
        let figure: serde_json::Number = serde_json::from_str(figure.get()).map_err(ApiError::internal)?;
        components.push(json!({
            "code": {"coding": [{"system": STATISTICS, "code": word, "display": display}]},
            "valueQuantity": quantity(kind, *aggregate, &figure),
        }));
    }
    let (category, code) = kind.concepts();
    Ok(json!({
        "resourceType": "Observation",
        "status": if is_open { "preliminary" } else { "final" },
        "category": [category],
        "code": code,
        "subject": {"reference": format!("Patient/{}", patient_id(user.as_str()))},
        "effectivePeriod": {"start": start, "end": end.map(engine::time::format)},
        "component": components,
    }))
}

fn quantity(kind: &Kind, aggregate: Aggregate, figure: &serde_json::Number) -> Value {
    if aggregate == Aggregate::Count {
        return json!({"value": figure, "unit": "points", "system": UCUM, "code": "1"});
    }
    match &kind.form {
        Form::Quantity { unit, ucum: Some(ucum), .. } => {
            json!({"value": figure, "unit": unit, "system": UCUM, "code": ucum})
        }
        Form::Quantity { unit, ucum: None, .. } => json!({"value": figure, "unit": unit}),
        Form::Integer => json!({"value": figure}),
    }
}
