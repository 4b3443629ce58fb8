//! Rows as a table for people, in the form of `psql`.

use std::fmt::Write as _;

use serde_json::Value;

/// Longest cell that is shown, characters.
const CELL_CHARACTERS_MAX: usize = 200;

/// What the columns of `EXPLAIN` are called.
const PLAN_COLUMNS: [&str; 2] = ["plan_type", "plan"];

/// An answer of `/query` in JSON as a table of its first rows; `None` for what is no such answer.
pub(super) fn table(answer: &Value, rows_max: usize) -> Option<String> {
    let columns = answer["columns"].as_array()?;
    let rows = answer["rows"].as_array()?;
    if columns.iter().map(|column| column["name"].as_str()).eq(PLAN_COLUMNS.map(Some)) {
        return Some(plans(rows));
    }
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

/// Plans as `EXPLAIN` answers them: whole, each step on a line of its own.
fn plans(rows: &[Value]) -> String {
    let mut out = String::new();
    for row in rows {
        let text = |nth: usize| row[nth].as_str().unwrap_or_default();
        out.extend(text(0).chars().map(plain));
        out.push('\n');
        for line in text(1).lines() {
            out.push_str("  ");
            out.extend(line.chars().map(plain));
            out.push('\n');
        }
    }
    let _ = write!(out, "({} row{})", rows.len(), if rows.len() == 1 { "" } else { "s" });
    out
}

/// A character that moves no terminal's cursor.
fn plain(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

/// A cell: no value is blank, a text is itself, without what would move a terminal's cursor.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
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
    fn a_plan_is_shown_whole_and_a_line_for_each_step() {
        let long = format!("CoalesceExec: {}", "x".repeat(300));
        let answer = json!({
            "columns": [{"name": "plan_type", "type": "text"}, {"name": "plan", "type": "text"}],
            "rows": [["logical_plan", "Limit\n  TableScan\n"], ["physical_plan", format!("{long}\n\u{1b}[2J")]],
            "row_count": 2,
        });
        let expected =
            format!("logical_plan\n  Limit\n    TableScan\nphysical_plan\n  {long}\n  \u{fffd}[2J\n(2 rows)");
        assert_eq!(table(&answer, 1).unwrap(), expected);
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
