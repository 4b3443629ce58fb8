//! What follows a try: pure functions, so that a test walks the whole table.
//!
//! | what a try came to                        | then                                                        |
//! |-------------------------------------------|-------------------------------------------------------------|
//! | 2xx within [`TRY_MAX`]                    | delivered                                                   |
//! | anything else, first to third time        | again after [`RETRIES`], counted from the end of the try    |
//! | anything else, fourth time                | dropped                                                     |
//! | 429 or 503 with `Retry-After`             | as above, but not before what it says, an hour at most      |
//! | 410                                       | dropped; the endpoint is disabled                           |
//! | an address that is refused                | dropped: it stays refused                                   |
//! | no success for [`FAILING_MAX_US`]         | the endpoint is disabled                                    |
//!
//! Retries come up to a tenth of their delay later, never earlier, so that those of a burst spread.

use std::time::Duration;

/// Longest time for connect, TLS, request and the head of the answer.
pub(crate) const TRY_MAX: Duration = Duration::from_secs(10);

/// Delays before the retries.
pub(crate) const RETRIES: [Duration; 3] = [Duration::from_secs(30), Duration::from_mins(5), Duration::from_hours(1)];

/// Most that `Retry-After` can move a retry, seconds.
pub(crate) const RETRY_AFTER_S_MAX: u64 = 3_600;

/// Most by which a retry comes later, thousandths of its delay.
pub(crate) const JITTER_PERMILLE_MAX: u16 = 100;

/// An endpoint that fails for so long is disabled, microseconds: five days.
pub(crate) const FAILING_MAX_US: i64 = 5 * 24 * 3_600 * 1_000_000;

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// What its `Retry-After` says, seconds.
        retry_after_s: Option<u64>,
    },
    /// The address is one that the server does not call.
    Refused,
    /// No answer: the reason in a word.
    Failed(&'static str),
}

impl Outcome {
    /// Whether the receiver has the event.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// Why it is none, in a word.
    pub(crate) fn error(self) -> Option<&'static str> {
        match self {
            Self::Answered { status: 200..=299, .. } => None,
            Self::Answered { status: 300..=399, .. } => Some("redirect"),
            Self::Answered { .. } => Some("status"),
            Self::Refused => Some("address_refused"),
            Self::Failed(why) => Some(why),
        }
    }
}

/// What happens to the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is done.
    Delivered,
    /// It is tried again.
    Retry {
        /// Not before this.
        at_us: i64,
    },
    /// It is given up.
    Dropped,
}

/// What follows the `tries`th try (from 1), which ended at `ended_us`. `jitter_permille` is a draw of this retry, at most
/// [`JITTER_PERMILLE_MAX`].
pub(crate) fn after(tries: usize, outcome: Outcome, ended_us: i64, jitter_permille: u16) -> Step {
    let retry_after_s = match outcome {
        Outcome::Answered { status: 200..=299, .. } => return Step::Delivered,
        Outcome::Answered { status: 410, .. } | Outcome::Refused => return Step::Dropped,
        Outcome::Answered { status: 429 | 503, retry_after_s } => retry_after_s,
        Outcome::Answered { .. } | Outcome::Failed(_) => None,
    };
    let Some(delay) = tries.checked_sub(1).and_then(|nth| RETRIES.get(nth)) else { return Step::Dropped };
    let delay_us = micros(*delay);
    let later_us = delay_us / 1_000 * i64::from(jitter_permille.min(JITTER_PERMILLE_MAX));
    let asked_us = micros(Duration::from_secs(retry_after_s.unwrap_or(0).min(RETRY_AFTER_S_MAX)));
    Step::Retry { at_us: ended_us.saturating_add((delay_us + later_us).max(asked_us)) }
}

/// What happens to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It works.
    Works,
    /// It fails, but not for too long.
    Fails,
    /// It said that it is gone.
    Gone,
    /// It has failed for too long.
    Failed,
}

/// How an endpoint stands behind a try that ended at `ended_us`; `failing_since_us` is when the first of the tries failed
/// that have failed since the last success.
pub(crate) fn health(outcome: Outcome, failing_since_us: Option<i64>, ended_us: i64) -> Health {
    match outcome {
        outcome if outcome.is_success() => Health::Works,
        Outcome::Answered { status: 410, .. } => Health::Gone,
        _ if failing_since_us.is_some_and(|since_us| ended_us.saturating_sub(since_us) >= FAILING_MAX_US) => {
            Health::Failed
        }
        _ => Health::Fails,
    }
}

/// Reads a `Retry-After`: seconds, or a date; from `now_us` on, seconds. What is past asks for nothing.
pub(crate) fn retry_after_s(text: &str, now_us: i64) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are a long time.
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let ahead_us = date.timestamp().as_microsecond().saturating_sub(now_us);
    u64::try_from(ahead_us).ok().map(|ahead_us| ahead_us.div_ceil(1_000_000))
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;
    const ENDED_US: i64 = 1_780_000_000 * S;

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_s: None }
    }

    #[test]
    fn retries_come_after_30_seconds_5_minutes_and_an_hour_and_then_no_more() {
        let failures = [answered(500), answered(404), answered(301), answered(100), Outcome::Failed("timeout")];
        for failure in failures {
            let steps = [1, 2, 3, 4, 5].map(|tries| after(tries, failure, ENDED_US, 0));
            let retry = |delay_s: i64| Step::Retry { at_us: ENDED_US + delay_s * S };
            assert_eq!(steps, [retry(30), retry(300), retry(3_600), Step::Dropped, Step::Dropped], "{failure:?}");
        }
        for status in 200..300 {
            assert_eq!(after(1, answered(status), ENDED_US, 0), Step::Delivered);
        }
    }

    #[test]
    fn jitter_makes_a_retry_later_by_a_tenth_at_most() {
        for (tries, delay_s) in [(1, 30), (2, 300), (3, 3_600)] {
            for permille in [0, 1, 50, 100, 101, u16::MAX] {
                let Step::Retry { at_us } = after(tries, answered(500), ENDED_US, permille) else { panic!() };
                let delay_us = at_us - ENDED_US;
                assert!((delay_s * S..=delay_s * S * 11 / 10).contains(&delay_us), "{tries} {permille} {delay_us}");
                assert_eq!(delay_us, delay_s * S + delay_s * 1_000 * i64::from(permille.min(100)));
            }
        }
    }

    #[test]
    fn retry_after_moves_a_retry_later_never_earlier_and_an_hour_at_most() {
        let at = |status, retry_after_s, tries| {
            let outcome = Outcome::Answered { status, retry_after_s: Some(retry_after_s) };
            match after(tries, outcome, ENDED_US, 0) {
                Step::Retry { at_us } => (at_us - ENDED_US) / S,
                step => panic!("{step:?}"),
            }
        };
        for status in [429, 503] {
            assert_eq!(
                [1, 30, 31, 3_600, 3_601, u64::MAX].map(|s| at(status, s, 1)),
                [30, 30, 31, 3_600, 3_600, 3_600]
            );
            assert_eq!(at(status, 60, 2), 300);
        }
        assert_eq!(at(500, 3_600, 1), 30, "only 429 and 503 mean it");
    }

    #[test]
    fn what_stays_refused_and_what_is_gone_is_not_tried_again() {
        assert_eq!(after(1, Outcome::Refused, ENDED_US, 0), Step::Dropped);
        assert_eq!(after(1, answered(410), ENDED_US, 0), Step::Dropped);
        assert_eq!(health(answered(410), None, ENDED_US), Health::Gone);
    }

    #[test]
    fn five_days_without_a_success_end_an_endpoint() {
        let day = 24 * 3_600 * S;
        let failed = Outcome::Failed("connect");
        assert_eq!(health(failed, None, ENDED_US), Health::Fails);
        assert_eq!(health(failed, Some(ENDED_US - 5 * day + 1), ENDED_US), Health::Fails);
        assert_eq!(health(failed, Some(ENDED_US - 5 * day), ENDED_US), Health::Failed);
        assert_eq!(health(answered(204), Some(ENDED_US - 9 * day), ENDED_US), Health::Works);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now_us = 784_111_777 * S;
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", None),
            ("-5", None),
            ("", None),
            ("soon", None),
        ];
        for (text, expected) in cases {
            assert_eq!(retry_after_s(text, now_us), expected, "{text}");
        }
    }
}
