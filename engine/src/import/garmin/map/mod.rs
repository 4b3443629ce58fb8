//! What the messages of a FIT file are to us.
//!
//! | message                          | becomes                                                                   |
//! |----------------------------------|---------------------------------------------------------------------------|
//! | `record`                         | `heart_rate`, `respiratory_rate`                                          |
//! | `hrv`                            | `hrv`, the RMSSD of five minutes ([`beats`])                              |
//! | `monitoring`, `monitoring_info`  | `heart_rate`, readings of the day's counters ([`monitoring`])             |
//! | `sleep_level`                    | a night ([`sleep`])                                                       |
//! | `hr`                             | `heart_rate` that a strap kept for itself ([`strap`])                     |
//! | `hrv_value`                      | `hrv`                                                                     |
//! | `spo2_data`, `respiration_rate`  | `spo2`, `respiratory_rate`                                                |
//! | `file_id`                        | the device, by maker, product and serial number                           |
//!
//! Units are those of the catalogue. What was found before a break stands, so whatever is open then is given as well.

mod beats;
mod monitoring;
mod sleep;
mod strap;

use std::io::Read;
use std::rc::Rc;

use beats::Beats;
use monitoring::Monitoring;
use sleep::Levels;
use strap::Strap;

use super::context::{At, Context};
use super::fit::profile::{field, message};
use super::fit::{Decoder, Event, Message, Value};
use super::night::{Night, Nights};
use super::reason;
use crate::import::Fault;

/// What becomes of a night.
pub(crate) enum Asleep<'n> {
    /// It is given to the sink.
    AtOnce,
    /// It waits for what else the archive knows of it.
    Held(&'n mut Nights),
}

/// Reads FIT files, chained ones too, to the end of `source`.
///
/// # Errors
/// [`Fault::Broken`] with the offset in `source`; what came before it has been given.
pub(crate) fn read(source: impl Read, asleep: &mut Asleep<'_>, context: &mut Context<'_>) -> Result<(), Fault> {
    let mut decoder = Decoder::new(source);
    let mut file = File::default();
    let mut is_first = true;
    loop {
        match decoder.next() {
            Ok(Some(Event::Begin)) => {
                // A watch chains what its strap kept as a file without a `file_id`.
                file = File { device: file.device, ..File::default() };
                is_first = false;
            }
            Ok(Some(Event::Message(message))) => file.message(&message, asleep, context)?,
            Ok(Some(Event::End)) => file.finish(asleep, context)?,
            Ok(None) if is_first => return Err(Fault::Broken { at: 0, what: "no FIT file begins here".to_owned() }),
            Ok(None) => return Ok(()),
            Err(fault) => {
                file.finish(asleep, context)?;
                return Err(fault);
            }
        }
        context.progress()?;
    }
}

/// One FIT file.
#[derive(Debug, Default)]
struct File {
    device: Option<Rc<str>>,
    beats: Beats,
    monitoring: Monitoring,
    levels: Levels,
    strap: Strap,
}

impl File {
    fn message(
        &mut self,
        message: &Message<'_>,
        asleep: &mut Asleep<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        match message.number() {
            message::RECORD => {
                self.beats.time(message.timestamp);
                self.record(message, context)
            }
            message::HRV => {
                let intervals = message.numbers(field::hrv::TIME);
                self.beats.intervals(intervals, self.device.as_deref(), context)
            }
            message::MONITORING => self.monitoring.message(message, self.device.as_deref(), context),
            message::MONITORING_INFO => self.monitoring.info(message, self.device.as_deref(), context),
            message::FILE_ID => {
                self.device = device(message);
                Ok(())
            }
            message::EVENT => {
                self.beats.time(message.timestamp);
                self.levels.event(message);
                Ok(())
            }
            message::SLEEP_LEVEL => {
                if let Some(night) = self.levels.level(message, context) {
                    self.night(night, asleep, context)?;
                }
                Ok(())
            }
            message::HR => self.strap.message(message, self.device.as_deref(), context),
            message::SPO2 => self.spo2(message, context),
            message::RESPIRATION_RATE => {
                self.respiration(message, message.value(field::respiration_rate::RATE), 100.0, context)
            }
            message::HRV_VALUE => self.hrv_value(message, context),
            number => {
                if let Some(reason) = not_taken(number) {
                    context.skipped(reason, &format_args!("message {number}"));
                }
                Ok(())
            }
        }
    }

    /// Gives what is still open.
    fn finish(&mut self, asleep: &mut Asleep<'_>, context: &mut Context<'_>) -> Result<(), Fault> {
        let device = self.device.as_deref();
        self.beats.finish(device, context)?;
        self.monitoring.finish(device, context)?;
        if let Some(night) = self.levels.finish() {
            self.night(night, asleep, context)?;
        }
        Ok(())
    }

    fn night(&self, night: Night, asleep: &mut Asleep<'_>, context: &mut Context<'_>) -> Result<(), Fault> {
        match asleep {
            Asleep::AtOnce => night.give_of_watch(self.device.as_deref(), context),
            Asleep::Held(nights) => nights.hold(night, self.device.as_ref(), context),
        }
    }

    fn record(&mut self, message: &Message<'_>, context: &mut Context<'_>) -> Result<(), Fault> {
        heart_rate(
            message,
            message.value(field::record::HEART_RATE),
            message.timestamp,
            self.device.as_deref(),
            context,
        )?;
        let enhanced = message.value(field::record::ENHANCED_RESPIRATION_RATE);
        if enhanced.number().is_some() {
            self.respiration(message, enhanced, 100.0, context)?;
        } else {
            self.respiration(message, message.value(field::record::RESPIRATION_RATE), 1.0, context)?;
        }
        for (field, reason) in
            [(field::record::TEMPERATURE, reason::AIR), (field::record::CORE_TEMPERATURE, reason::CORE)]
        {
            if let Some(value) = message.value(field).number() {
                context.skipped(reason, &value);
            }
        }
        Ok(())
    }

    fn respiration(
        &self,
        message: &Message<'_>,
        value: Value,
        scale: f64,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let Some(raw) = value.number() else { return Ok(()) };
        let Some(at) = context.dated(message.timestamp) else { return Ok(()) };
        if raw <= 0 {
            context.skipped(reason::NO_BREATH, &At(at));
            return Ok(());
        }
        context.sample("respiratory_rate", float(raw) / scale, at, self.device.as_deref())
    }

    fn spo2(&self, message: &Message<'_>, context: &mut Context<'_>) -> Result<(), Fault> {
        let Some(percent) = message.value(field::spo2::READING).number() else { return Ok(()) };
        let Some(at) = context.dated(message.timestamp) else { return Ok(()) };
        if percent == 0 {
            context.skipped(reason::NO_SPO2, &At(at));
            return Ok(());
        }
        context.sample("spo2", float(percent), at, self.device.as_deref())
    }

    fn hrv_value(&self, message: &Message<'_>, context: &mut Context<'_>) -> Result<(), Fault> {
        let Some(raw) = message.value(field::hrv_value::VALUE).number() else { return Ok(()) };
        let Some(at) = context.dated(message.timestamp) else { return Ok(()) };
        context.sample("hrv", float(raw) / 128.0, at, self.device.as_deref())
    }
}

/// A heart rate of a message, if the message has one.
fn heart_rate(
    message: &Message<'_>,
    value: Value,
    timestamp: Option<u32>,
    device: Option<&str>,
    context: &mut Context<'_>,
) -> Result<(), Fault> {
    debug_assert!(matches!(message.number(), message::RECORD | message::MONITORING));
    match value {
        Value::Absent => Ok(()),
        Value::Invalid | Value::Number(0) => {
            let at = timestamp.map_or(0, super::fit::micros);
            context.skipped(reason::NO_HEART_RATE, &At(at));
            Ok(())
        }
        Value::Number(rate) => match context.dated(timestamp) {
            Some(at) => context.sample("heart_rate", float(rate), at, device),
            None => Ok(()),
        },
    }
}

/// The device that wrote the file: the same text for the same device, whatever its software.
fn device(message: &Message<'_>) -> Option<Rc<str>> {
    let number = |field| message.value(field).number();
    let manufacturer = number(field::file_id::MANUFACTURER)?;
    let mut device = match manufacturer {
        1 => "garmin".to_owned(),
        13 | 15 => "dynastream".to_owned(),
        other => format!("fit-{other}"),
    };
    for part in [number(field::file_id::PRODUCT), number(field::file_id::SERIAL_NUMBER)] {
        device.push('-');
        device.push_str(&part.map_or_else(String::new, |part| part.to_string()));
    }
    Some(device.trim_end_matches('-').into())
}

/// Why messages that hold something of the body are not taken.
fn not_taken(number: u16) -> Option<&'static str> {
    match number {
        message::MONITORING_HR => Some(reason::RESTING),
        message::STRESS_LEVEL => Some(reason::STRESS),
        message::BEAT_INTERVALS | message::RAW_BBI => Some(reason::RAW_BEATS),
        message::HSA_FIRST..=message::HSA_LAST => Some(reason::SNAPSHOT),
        message::HRV_STATUS_SUMMARY => Some(reason::HRV_SUMMARY),
        message::SKIN_TEMPERATURE => Some(reason::SKIN),
        message::NAP => Some(reason::NAP),
        _ => None,
    }
}

/// A field's number as a value: fields have 32 bits at most.
fn float(number: i64) -> f64 {
    i32::try_from(number).map_or_else(|_| u32::try_from(number).map_or(f64::NAN, f64::from), f64::from)
}
