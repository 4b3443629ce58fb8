//! Rows as a table for people, in the form of `psql`.

use std::fmt::Write as _;

use serde_json::Value;

/// Longest cell that is shown, characters.
const CELL_CHARACTERS_MAX: usize = 200;

/// An answer of `/query` in JSON as a table of its first rows; `None` for what is no such answer.
pub(super) fn table(answer: &Value, rows_max: usize) -> Option<String> {
    let columns = answer["columns"].as_array()?;
    let rows = answer["rows"].as_array()?;
    let names: Vec<String> = columns.iter().map(|column| shown(&column["name"])).collect();
    let is_number: Vec<bool> =
        columns.iter().map(|column| matches!(column["type"].as_str(), Some("number" | "integer"))).collect();
    let cells: Vec<Vec<String>> =
        rows.iter().take(rows_max).map(|row| row.as_array().into_iter().flatten().map(shown).collect()).collect();
    let width = |nth: usize| {
        let of = |cells: &Vec<String>| cells.get(nth).map_or(0, |cell| cell.chars().count());
        cells.iter().map(of).chain([of(&names)]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &[String], is_head: bool| {
        for (nth, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let bar = if nth > 0 { "|" } else { "" };
            let is_right = is_number.get(nth) == Some(&true);
            // Writing into memory cannot fail.
            let _ = match (is_head, is_right) {
                (true, _) => write!(out, "{bar} {cell:^width$} "),
                (false, true) => write!(out, "{bar} {cell:>width$} "),
                (false, false) => write!(out, "{bar} {cell:<width$} "),
            };
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
        if is_head {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            out.push_str(&rule.join("+"));
            out.push('\n');
        }
    };
    line(&names, true);
    for row in &cells {
        line(row, false);
    }
    let _ = write!(out, "({} row{})", rows.len(), if rows.len() == 1 { "" } else { "s" });
    if rows.len() > cells.len() {
        let _ = write!(out, "\nThe first {} are shown; \\o FILE takes all.", cells.len());
    }
    Some(out)
}

/// A cell: no value is blank, a text is itself, without what would move a terminal's cursor.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    let mut shown: String = text.chars().take(CELL_CHARACTERS_MAX).map(plain).collect();
    if text.chars().nth(CELL_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The line of a statement that a fault is in, with a caret below the place.
pub(super) fn pointed_at(sql: &str, byte: usize) -> Option<String> {
    let before = sql.get(..byte)?;
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let number = before.matches('\n').count() + 1;
    let line = sql.get(begin..)?.lines().next().unwrap_or_default();
    let head = format!("LINE {number}: ");
    let column = head.chars().count() + sql.get(begin..byte)?.chars().count();
    // A tab is as wide as it likes; a space is not.
    Some(format!("{head}{}\n{}^", line.replace('\t', " "), " ".repeat(column)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_aligned_as_psql_does() {
        let answer = json!({
            "columns": [{"name": "metric", "type": "text"}, {"name": "n", "type": "integer"}],
            "rows": [["heart_rate", 10], ["hrv", 1234], [null, null]],
            "row_count": 3,
        });
        let expected = "   metric   |  n
------------+------
 heart_rate |   10
 hrv        | 1234
            |
(3 rows)";
        assert_eq!(table(&answer, 3).unwrap(), expected);
        let first = "   metric   | n
------------+----
 heart_rate | 10
(3 rows)
The first 1 are shown; \\o FILE takes all.";
        assert_eq!(table(&answer, 1).unwrap(), first);
        let one = json!({"columns": [{"name": "x", "type": "text"}], "rows": [["\u{1b}[2J"]]});
        assert_eq!(table(&one, 1).unwrap(), "  x\n------\n \u{fffd}[2J\n(1 row)");
        assert_eq!(table(&json!({"detail": "no"}), 1), None);
    }

    #[test]
    fn a_caret_points_at_the_place() {
        let sql = "SELECT 'ä',\n  valu FROM points";
        assert_eq!(pointed_at(sql, 15).unwrap(), "LINE 2:   valu FROM points\n          ^");
        assert_eq!(pointed_at(sql, 0).unwrap(), "LINE 1: SELECT 'ä',\n        ^");
        assert_eq!(pointed_at(sql, 9), None, "not a character's begin");
        assert_eq!(pointed_at("\tvalu", 1).unwrap(), "LINE 1:  valu\n         ^");
    }
}
