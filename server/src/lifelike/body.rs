//! Points as bodies of `POST /api/v1/wearables/bulk-ingest`.

use std::io::Write as _;

use engine::time::Formatter;

use super::Point;

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
    let mut times = Formatter::default();
    body.extend_from_slice(br#"{"data_points":["#);
    for (nth, point) in points.into_iter().enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        render_point(&point, &mut times, body);
    }
    body.extend_from_slice(b"]}");
}

/// Appends a line of `POST /api/v1/wearables/stream`, a point of this person.
pub fn render_line(point: &Point<'_>, user_id: &str, times: &mut Formatter, lines: &mut Vec<u8>) {
    render_point(point, times, lines);
    // Before the brace that closes the point.
    lines.pop();
    lines.extend_from_slice(br#","user_id":""#);
    lines.extend_from_slice(user_id.as_bytes());
    lines.extend_from_slice(b"\"}\n");
}

/// One point; names hold nothing that JSON would escape but for the source, which might.
fn render_point(point: &Point<'_>, times: &mut Formatter, body: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"metric":""#);
    body.extend_from_slice(point.metric.as_bytes());
    body.extend_from_slice(br#"","value":"#);
    // Writing into memory cannot fail, and `f64`'s shortest form reads back to the same number.
    let _ = write!(body, "{}", point.value);
    body.extend_from_slice(br#","unit":""#);
    body.extend_from_slice(point.unit.as_bytes());
    body.extend_from_slice(br#"","recorded_at":""#);
    times.write(point.recorded_at_us, body);
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
