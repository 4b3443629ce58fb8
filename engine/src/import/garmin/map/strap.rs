//! Heart rate that a strap kept for itself while its watch could not hear it (in water), and handed over later.
//!
//! A message with a time is an anchor: so much it was when the strap's own clock showed that. The others hold up to eight
//! heart rates and the lower twelve bits of that clock (1,024 to the second) for each, one after the other.

use super::super::context::Context;
use super::super::fit::Message;
use super::super::fit::profile::field;
use super::super::reason;
use crate::import::Fault;
use crate::time::{self, SECOND_US};

/// Fractions of a second in a time, and in the strap's clock.
const FRACTIONS: i64 = 32_768;
const CLOCK_FRACTIONS: i64 = 32;

/// The strap of one file.
#[derive(Debug, Default)]
pub(super) struct Strap {
    anchor: Option<Anchor>,
    /// The strap's clock at the last heart rate.
    clock: u32,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    date: u32,
    /// 32,768ths of a second behind `date`.
    fraction: i64,
    clock: u32,
}

impl Strap {
    /// `hr`.
    pub(super) fn message(
        &mut self,
        message: &Message<'_>,
        device: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let rates = message.bytes(field::hr::FILTERED_BPM);
        let clock = message.value(field::hr::EVENT_TIMESTAMP).number().and_then(|clock| u32::try_from(clock).ok());
        if let Some(clock) = clock {
            self.clock = clock;
            if let Some(date) = message.timestamp {
                let fraction = message.value(field::hr::FRACTIONAL_TIMESTAMP).number().unwrap_or_default();
                self.anchor = Some(Anchor { date, fraction, clock });
            }
            return rates.iter().take(1).try_for_each(|rate| self.rate(*rate, device, context));
        }
        let mut low = twelves(message.bytes(field::hr::EVENT_TIMESTAMP_12));
        rates.iter().try_for_each(|rate| {
            let Some(low) = low.next() else { return Ok(()) };
            self.clock = self.clock.wrapping_add(u32::from(low).wrapping_sub(self.clock) & 0xFFF);
            self.rate(*rate, device, context)
        })
    }

    /// A heart rate at the strap's clock.
    fn rate(&self, rate: u8, device: Option<&str>, context: &mut Context<'_>) -> Result<(), Fault> {
        let Some(anchor) = self.anchor else {
            context.skipped(reason::NO_TIME, &"a strap's heart rate before its first time");
            return Ok(());
        };
        let Some(date) = context.dated(Some(anchor.date)) else { return Ok(()) };
        let fractions = anchor.fraction + i64::from(self.clock.wrapping_sub(anchor.clock)) * CLOCK_FRACTIONS;
        let at = date + fractions * SECOND_US / FRACTIONS;
        if rate != 0 && rate != u8::MAX {
            context.sample("heart_rate", f64::from(rate), at, device)
        } else {
            context.skipped(reason::NO_HEART_RATE, &time::format(at));
            Ok(())
        }
    }
}

/// Numbers of twelve bits, one after the other from the lowest bit on.
fn twelves(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks(3).flat_map(|three| {
        let byte = |place: usize| three.get(place).copied().map(u16::from);
        let first = byte(0).zip(byte(1)).map(|(low, high)| low | (high & 0x0F) << 8);
        let second = byte(1).zip(byte(2)).map(|(low, high)| low >> 4 | high << 4);
        first.into_iter().chain(second)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_bits_follow_twelve_bits() {
        assert_eq!(twelves(&[0x21, 0x43, 0x65, 0xFF, 0x0F]).collect::<Vec<_>>(), [0x321, 0x654, 0xFFF]);
    }
}
