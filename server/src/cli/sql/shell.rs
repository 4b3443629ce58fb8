//! The shell: lines with history, until `\q`.

use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::{Session, split};
use crate::cli::{Failure, Terminal};

const TABLES: &str = "points   every point: metric, user_id, recorded_at, value, unit, source, source_device_id
latest   the newest point of each metric and person: metric, user_id, value, unit, recorded_at
metrics  the catalogue: metric, unit, description, min, max, loinc, ucum";

const HELP: &str = "\\d         the tables
\\d NAME    a table's columns
\\timing    show how long answers take, or no more
\\q         the end
A statement ends with `;` and may take several lines.";

/// What a line asks of the shell itself.
#[derive(Debug, PartialEq, Eq)]
enum Order<'a> {
    Quit,
    Tables,
    Columns(&'a str),
    Timing,
    Help,
}

impl<'a> Order<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let order = line.trim().strip_prefix('\\')?;
        let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
        Some(match (word, rest.trim()) {
            ("q", "") => Self::Quit,
            ("d", "") => Self::Tables,
            ("d", name) => Self::Columns(name),
            ("timing", "") => Self::Timing,
            _ => Self::Help,
        })
    }
}

/// Reads and answers until the end of input.
pub(super) fn run(session: &mut Session, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut editor = DefaultEditor::new().map_err(Failure::Editor)?;
    let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".avycenna_history"));
    if let Some(history) = &history {
        // The first time there is none.
        let _ = editor.load_history(history);
    }
    terminal.note("\\? for help, \\q to end")?;
    let mut pending = String::new();
    loop {
        let prompt = if pending.is_empty() { "avycenna=> " } else { "avycenna-> " };
        match editor.readline(prompt) {
            Ok(line) => {
                // A line that cannot be remembered is answered all the same.
                let _ = editor.add_history_entry(&line);
                if !take(session, terminal, &mut pending, &line)? {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::Editor(error)),
        }
    }
    if let Some(history) = &history
        && let Err(error) = editor.save_history(history)
    {
        terminal.note(&format!("the history was not kept: {error}"))?;
    }
    Ok(())
}

/// Answers a line; `false` for the end.
fn take(session: &mut Session, terminal: &mut Terminal<'_>, pending: &mut String, line: &str) -> Result<bool, Failure> {
    if pending.is_empty()
        && let Some(order) = Order::parse(line)
    {
        match order {
            Order::Quit => return Ok(false),
            Order::Tables => terminal.say(TABLES)?,
            Order::Columns(name) => {
                // A name cannot end its quotes.
                let sql = format!("DESCRIBE \"{}\"", name.replace('"', "\"\""));
                answer(session, terminal, &sql)?;
            }
            Order::Timing => {
                session.is_timed = !session.is_timed;
                terminal.note(if session.is_timed { "Timing is on." } else { "Timing is off." })?;
            }
            Order::Help => terminal.say(HELP)?,
        }
        return Ok(true);
    }
    pending.push_str(line);
    pending.push('\n');
    let (statements, rest) = split::statements(pending);
    for sql in &statements {
        answer(session, terminal, sql)?;
    }
    *pending = if split::is_blank(rest) { String::new() } else { rest.to_owned() };
    Ok(true)
}

/// Runs a statement; what is wrong with it does not end the shell.
fn answer(session: &Session, terminal: &mut Terminal<'_>, sql: &str) -> Result<(), Failure> {
    match session.one(sql, terminal) {
        Err(error @ Failure::Output(_)) => Err(error),
        Err(error) => error.tell(terminal).map_err(Failure::Output),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_begin_with_a_backslash() {
        assert_eq!(Order::parse(" \\q "), Some(Order::Quit));
        assert_eq!(Order::parse("\\d"), Some(Order::Tables));
        assert_eq!(Order::parse("\\d points"), Some(Order::Columns("points")));
        assert_eq!(Order::parse("\\timing"), Some(Order::Timing));
        assert_eq!(Order::parse("\\?"), Some(Order::Help));
        assert_eq!(Order::parse("SELECT 1;"), None);
    }
}
