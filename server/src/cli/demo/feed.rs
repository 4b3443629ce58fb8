//! Feeding: every person's points through the public bulk endpoint, over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;
use storage::Clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Client, Error};
use super::ledger::Ledger;
use crate::lifelike::{BODY_POINTS, Fleet, Point, Points, render};

/// Connections that feed at the same time.
const CONNECTIONS: usize = 8;

/// How often a body that was refused for want of room is sent again.
const TRIES: u32 = 100;

/// What feeding took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fed {
    /// Points acknowledged.
    pub(super) points: usize,
    /// From the first body to the last acknowledgement.
    pub(super) took: Duration,
}

/// Feeds whatever the ledger says is missing, and notes it there. `save` is called now and then, and at the end.
pub(super) async fn feed(
    client: &Client,
    ledger: &mut Ledger,
    clock: &dyn Clock,
    mut save: impl FnMut(&Ledger) -> Result<(), Error>,
) -> Result<Fed, Error> {
    if ledger.is_complete {
        return Ok(Fed::default());
    }
    let fleet = ledger.fleet();
    let bar =
        progress_bar(u64::try_from(ledger.people.len()).unwrap_or(0) * u64::from(ledger.days - ledger.days_before));
    let began = clock.elapsed();
    let (tell, mut told) = tokio::sync::mpsc::channel(CONNECTIONS * 4);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    for (number, resident) in (0_u32..).zip(&ledger.people) {
        let task = Feeding {
            client: client.clone(),
            fleet: fleet.clone(),
            number,
            key: resident.key.clone(),
            skip: resident.bodies,
            from_us: ledger.feed_from_us(),
            tell: tell.clone(),
        };
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            task.run().await
        });
    }
    drop(tell);
    let mut fed = Fed::default();
    let mut saved = began;
    while let Some(step) = told.recv().await {
        let Step { number, points, days } = step;
        fed.points += points;
        bar.inc(days);
        bar.set_message(per_second(fed.points, clock.elapsed().saturating_sub(began)));
        if points > 0
            && let Some(resident) = ledger.people.get_mut(usize::try_from(number).unwrap_or(usize::MAX))
        {
            resident.bodies += 1;
        }
        if clock.elapsed().saturating_sub(saved) > Duration::from_secs(1) {
            save(ledger)?;
            saved = clock.elapsed();
        }
    }
    fed.took = clock.elapsed().saturating_sub(began);
    bar.finish_and_clear();
    save(ledger)?;
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|_| Error::Cut)??;
    }
    ledger.is_complete = true;
    save(ledger)?;
    Ok(fed)
}

/// Points and time, for people.
pub(super) fn per_second(points: usize, took: Duration) -> String {
    let points = u32::try_from(points).map_or(0.0, f64::from);
    format!("{:.0} points/s", points / took.as_secs_f64().max(1e-6))
}

fn progress_bar(days: u64) -> ProgressBar {
    let bar = ProgressBar::new(days);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} days of data, {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// One acknowledged body.
struct Step {
    number: u32,
    points: usize,
    /// Whole days of this person that are behind it.
    days: u64,
}

struct Feeding {
    client: Client,
    fleet: Fleet,
    number: u32,
    key: String,
    skip: usize,
    from_us: i64,
    tell: tokio::sync::mpsc::Sender<Step>,
}

impl Feeding {
    async fn run(self) -> Result<(), Error> {
        let person = self.fleet.person(self.number);
        let from_us = self.from_us;
        let mut points = person.points();
        let mut nth = 0;
        let mut day = 0;
        loop {
            let body_points = next_body(&mut points, from_us);
            if body_points.is_empty() {
                return Ok(());
            }
            let reached_us = body_points.iter().map(|point| point.recorded_at_us).max().unwrap_or(from_us);
            let reached = u64::try_from((reached_us - from_us) / crate::lifelike::DAY_US).unwrap_or(0);
            let days = reached.saturating_sub(day);
            day = day.max(reached);
            nth += 1;
            if nth <= self.skip {
                self.say(0, days).await;
                continue;
            }
            let mut body = Vec::new();
            render(body_points.iter().copied(), &mut body);
            self.send(body).await?;
            self.say(body_points.len(), days).await;
        }
    }

    async fn say(&self, points: usize, days: u64) {
        // Nobody listens any more once feeding has failed elsewhere.
        let _ = self.tell.send(Step { number: self.number, points, days }).await;
    }

    /// Sends a body until it is acknowledged; sending again is safe because a point's identity is.
    async fn send(&self, body: Vec<u8>) -> Result<(), Error> {
        let body = bytes::Bytes::from(body);
        for _ in 0..TRIES {
            match self.client.ingest(&self.key, body.clone()).await? {
                StatusCode::CREATED => return Ok(()),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                status => return Err(Error::Refused { status }),
            }
        }
        Err(Error::Refused { status: StatusCode::SERVICE_UNAVAILABLE })
    }
}

/// The next points that are fed, as many as a body takes; none at the end.
fn next_body<'a>(points: &mut Points<'a>, from_us: i64) -> Vec<Point<'a>> {
    points.filter(|point| point.recorded_at_us >= from_us).take(BODY_POINTS).collect()
}
