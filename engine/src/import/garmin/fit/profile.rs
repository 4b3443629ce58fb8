//! Numbers of the messages and fields that are read, from the public profile of the format.

/// Field of the time of most messages: seconds from the format's beginning.
pub(crate) const TIMESTAMP: u8 = 253;

/// Numbers of messages.
pub(crate) mod message {
    pub(crate) const FILE_ID: u16 = 0;
    pub(crate) const RECORD: u16 = 20;
    pub(crate) const EVENT: u16 = 21;
    pub(crate) const MONITORING: u16 = 55;
    pub(crate) const HRV: u16 = 78;
    pub(crate) const MONITORING_INFO: u16 = 103;
    pub(crate) const HR: u16 = 132;
    pub(crate) const MONITORING_HR: u16 = 211;
    pub(crate) const STRESS_LEVEL: u16 = 227;
    pub(crate) const SPO2: u16 = 269;
    pub(crate) const SLEEP_LEVEL: u16 = 275;
    pub(crate) const BEAT_INTERVALS: u16 = 290;
    pub(crate) const RESPIRATION_RATE: u16 = 297;
    pub(crate) const HSA_FIRST: u16 = 302;
    pub(crate) const HSA_LAST: u16 = 308;
    pub(crate) const HRV_STATUS_SUMMARY: u16 = 370;
    pub(crate) const HRV_VALUE: u16 = 371;
    pub(crate) const RAW_BBI: u16 = 372;
    pub(crate) const SKIN_TEMPERATURE: u16 = 398;
    pub(crate) const NAP: u16 = 412;
}

/// Numbers of fields, by message.
pub(crate) mod field {
    pub(crate) mod file_id {
        pub(crate) const MANUFACTURER: u8 = 1;
        pub(crate) const PRODUCT: u8 = 2;
        pub(crate) const SERIAL_NUMBER: u8 = 3;
    }
    pub(crate) mod record {
        pub(crate) const HEART_RATE: u8 = 3;
        pub(crate) const TEMPERATURE: u8 = 13;
        pub(crate) const RESPIRATION_RATE: u8 = 99;
        /// Hundredths of a breath a minute.
        pub(crate) const ENHANCED_RESPIRATION_RATE: u8 = 108;
        pub(crate) const CORE_TEMPERATURE: u8 = 139;
    }
    pub(crate) mod event {
        pub(crate) const EVENT: u8 = 0;
        pub(crate) const EVENT_TYPE: u8 = 1;
    }
    pub(crate) mod hrv {
        /// Milliseconds from beat to beat, several in a message.
        pub(crate) const TIME: u8 = 0;
    }
    pub(crate) mod hr {
        /// 32,768ths of a second behind the time.
        pub(crate) const FRACTIONAL_TIMESTAMP: u8 = 0;
        /// Beats a minute, several in a message.
        pub(crate) const FILTERED_BPM: u8 = 6;
        /// The strap's clock, 1,024ths of a second.
        pub(crate) const EVENT_TIMESTAMP: u8 = 9;
        /// The lower twelve bits of it, for each heart rate.
        pub(crate) const EVENT_TIMESTAMP_12: u8 = 10;
    }
    pub(crate) mod monitoring {
        /// Cumulative; of walking and running, steps.
        pub(crate) const CYCLES: u8 = 3;
        pub(crate) const ACTIVITY_TYPE: u8 = 5;
        /// As `CYCLES`, in two bytes.
        pub(crate) const CYCLES_16: u8 = 9;
        pub(crate) const LOCAL_TIMESTAMP: u8 = 11;
        /// Cumulative.
        pub(crate) const ACTIVE_CALORIES: u8 = 19;
        /// The activity's type in the lower five bits, its intensity in the upper three.
        pub(crate) const TYPE_AND_INTENSITY: u8 = 24;
        /// The lower 16 bits of the time.
        pub(crate) const TIMESTAMP_16: u8 = 26;
        pub(crate) const HEART_RATE: u8 = 27;
    }
    pub(crate) mod monitoring_info {
        pub(crate) const LOCAL_TIMESTAMP: u8 = 0;
        /// kcal a day.
        pub(crate) const RESTING_METABOLIC_RATE: u8 = 5;
    }
    pub(crate) mod spo2 {
        pub(crate) const READING: u8 = 0;
    }
    pub(crate) mod sleep_level {
        pub(crate) const LEVEL: u8 = 0;
    }
    pub(crate) mod respiration_rate {
        /// Hundredths of a breath a minute.
        pub(crate) const RATE: u8 = 0;
    }
    pub(crate) mod hrv_value {
        /// 128ths of a millisecond, RMSSD of five minutes.
        pub(crate) const VALUE: u8 = 0;
    }
}

/// The fields of a message that are read, beside its time.
pub(super) fn fields(number: u16) -> &'static [u8] {
    match number {
        message::FILE_ID => &[field::file_id::MANUFACTURER, field::file_id::PRODUCT, field::file_id::SERIAL_NUMBER],
        message::RECORD => &[
            field::record::HEART_RATE,
            field::record::TEMPERATURE,
            field::record::RESPIRATION_RATE,
            field::record::ENHANCED_RESPIRATION_RATE,
            field::record::CORE_TEMPERATURE,
        ],
        message::EVENT => &[field::event::EVENT, field::event::EVENT_TYPE],
        message::HRV => &[field::hrv::TIME],
        message::HR => &[
            field::hr::FRACTIONAL_TIMESTAMP,
            field::hr::FILTERED_BPM,
            field::hr::EVENT_TIMESTAMP,
            field::hr::EVENT_TIMESTAMP_12,
        ],
        message::MONITORING => &[
            field::monitoring::CYCLES,
            field::monitoring::ACTIVITY_TYPE,
            field::monitoring::CYCLES_16,
            field::monitoring::LOCAL_TIMESTAMP,
            field::monitoring::ACTIVE_CALORIES,
            field::monitoring::TYPE_AND_INTENSITY,
            field::monitoring::TIMESTAMP_16,
            field::monitoring::HEART_RATE,
        ],
        message::MONITORING_INFO => {
            &[field::monitoring_info::LOCAL_TIMESTAMP, field::monitoring_info::RESTING_METABOLIC_RATE]
        }
        message::SPO2 => &[field::spo2::READING],
        message::SLEEP_LEVEL => &[field::sleep_level::LEVEL],
        message::RESPIRATION_RATE => &[field::respiration_rate::RATE],
        message::HRV_VALUE => &[field::hrv_value::VALUE],
        _ => &[],
    }
}
