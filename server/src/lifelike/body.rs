//! Points as bodies of `POST /api/v1/wearables/bulk-ingest`.

use std::io::Write as _;

use super::{DAY_US, Point, SECOND_US};

/// Most points of one body.
pub const BODY_POINTS: usize = 500;

/// Bytes of one point, for the first guess at a body's size.
const POINT_BYTES: usize = 152;

/// Cuts points into bodies of `size` points (at least 1), in order; the last may be smaller. No body without points.
pub fn bodies<'a>(points: impl IntoIterator<Item = Point<'a>>, size: usize) -> Vec<Vec<u8>> {
    let size = size.max(1);
    let mut points = points.into_iter().peekable();
    let mut bodies = Vec::new();
    while points.peek().is_some() {
        let mut body = Vec::with_capacity(size * POINT_BYTES + 32);
        render(points.by_ref().take(size), &mut body);
        bodies.push(body);
    }
    bodies
}

/// Appends `{"data_points":[…]}` to `body`.
pub fn render<'a>(points: impl IntoIterator<Item = Point<'a>>, body: &mut Vec<u8>) {
    let mut day = Day::default();
    body.extend_from_slice(br#"{"data_points":["#);
    for (nth, point) in points.into_iter().enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        render_point(&point, &mut day, body);
    }
    body.extend_from_slice(b"]}");
}

/// One point; names hold nothing that JSON would escape but for the source, which might.
fn render_point(point: &Point<'_>, day: &mut Day, body: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"metric":""#);
    body.extend_from_slice(point.metric.as_bytes());
    body.extend_from_slice(br#"","value":"#);
    // Writing into memory cannot fail, and `f64`'s shortest form reads back to the same number.
    let _ = write!(body, "{}", point.value);
    body.extend_from_slice(br#","unit":""#);
    body.extend_from_slice(point.unit.as_bytes());
    body.extend_from_slice(br#"","recorded_at":""#);
    day.render(point.recorded_at_us, body);
    body.extend_from_slice(br#"","source":"#);
    render_text(point.source, body);
    if !point.device.is_empty() {
        body.extend_from_slice(br#","source_device_id":"#);
        render_text(point.device, body);
    }
    body.push(b'}');
}

fn render_text(text: &str, body: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        body.push(b'"');
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
    } else {
        let _ = serde_json::to_writer(body, text);
    }
}

/// The date last written: a person's points come day by day.
#[derive(Default)]
struct Day {
    number: Option<i64>,
    text: Vec<u8>,
}

impl Day {
    fn render(&mut self, at_us: i64, body: &mut Vec<u8>) {
        let number = at_us.div_euclid(DAY_US);
        if self.number != Some(number) {
            self.number = Some(number);
            let (year, month, day) = civil(number);
            self.text.clear();
            let _ = write!(self.text, "{year:04}-{month:02}-{day:02}T");
        }
        body.extend_from_slice(&self.text);
        let second = at_us.rem_euclid(DAY_US) / SECOND_US;
        for (nth, number) in [second / 3_600, second / 60 % 60, second % 60].into_iter().enumerate() {
            if nth > 0 {
                body.push(b':');
            }
            let digits = u8::try_from(number).unwrap_or(0);
            body.extend_from_slice(&[b'0' + digits / 10, b'0' + digits % 10]);
        }
        body.push(b'Z');
    }
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
