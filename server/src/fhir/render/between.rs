//! The texts between what differs from point to point: made once for all that came together and are in one state.

use engine::number;
use engine::time::Formatter;

use super::Version;
use super::prepared::Prepared;

/// What observations of one kind, source and device that stand beside each other nearly always share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) version: Version,
    /// `final`, `corrected`, …
    pub(super) status: &'static str,
    /// When it got here, microseconds UTC.
    pub(super) accepted_us: i64,
    /// Whether it lasted, and so has a period instead of a moment.
    pub(super) has_period: bool,
}

/// The texts of a state.
#[derive(Debug, Default)]
pub(super) struct Between {
    of: Option<State>,
    /// From the id to when it was measured.
    pub(super) before_time: Vec<u8>,
    /// From when it was measured to its value.
    pub(super) before_value: Vec<u8>,
}

impl Between {
    /// The texts of this state from now on, for what is prepared. Cost: nothing where it was this state before.
    pub(super) fn set(&mut self, state: State, prepared: &Prepared, times: &mut Formatter) {
        if self.of == Some(state) {
            return;
        }
        self.of = Some(state);
        let State { version, status, accepted_us, has_period } = state;
        let text = &mut self.before_time;
        text.clear();
        text.extend_from_slice(b"\",\"meta\":{\"versionId\":\"");
        number::write_u64(version.number, text);
        text.extend_from_slice(b"\",\"lastUpdated\":\"");
        times.write(version.changed_us, text);
        text.extend_from_slice(&prepared.before_status);
        text.extend_from_slice(status.as_bytes());
        text.extend_from_slice(&prepared.before_time);
        text.extend_from_slice(if has_period {
            b",\"effectivePeriod\":{\"start\":\""
        } else {
            b",\"effectiveDateTime\":\""
        });
        let text = &mut self.before_value;
        text.clear();
        text.extend_from_slice(if has_period { b"\"},\"issued\":\"" } else { b"\",\"issued\":\"" });
        times.write(accepted_us, text);
        text.extend_from_slice(&prepared.before_value);
    }
}
