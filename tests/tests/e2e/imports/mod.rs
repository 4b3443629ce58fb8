//! Files of other makers against decoders that others wrote, and generators that know what they wrote.

mod apple;
mod garmin;
mod health_auto_export;
mod lines;
