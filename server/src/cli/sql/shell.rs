//! The shell: statements of several lines, with history, until `\q`.

use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use super::{FILE_NAMES, Format, SHOWN_ROWS_MAX, Session, split};
use crate::cli::{Failure, Terminal};

const TABLES: &str = "points   every point: metric, user_id, recorded_at, value, unit, source, source_device_id
latest   the newest point of each metric and person: metric, user_id, value, unit, recorded_at
metrics  the catalogue: metric, unit, description, min, max, loinc, ucum";

const HELP: &str = "\\d         the tables
\\d NAME    a table's columns
\\o FILE    write the next answer into a file: .csv, .json, .arrow or .parquet
\\timing    show how long answers take, or no more
\\r         forget the lines of a statement that has no end yet, as Ctrl-C does
\\q         the end
A statement ends with `;` and may take several lines. Ctrl-C ends a query that runs.";

/// Entries of the history.
const HISTORY_MAX: usize = 1_000;

/// What a line asks of the shell itself.
#[derive(Debug, PartialEq, Eq)]
enum Order<'a> {
    Quit,
    Tables,
    Columns(&'a str),
    File(&'a str),
    Timing,
    Reset,
    Help,
}

impl<'a> Order<'a> {
    /// Of a line that begins a statement, or stands in one; not in a text.
    fn parse(line: &'a str, is_first: bool) -> Option<Self> {
        let line = line.trim();
        let Some(order) = line.strip_prefix('\\') else {
            return match line.trim_end_matches(';') {
                "quit" | "exit" if is_first => Some(Self::Quit),
                "help" if is_first => Some(Self::Help),
                _ => None,
            };
        };
        // As one writes a statement.
        let order = order.trim_end_matches(';');
        let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
        Some(match (word, rest.trim()) {
            ("q", "") => Self::Quit,
            ("d" | "dt", "") => Self::Tables,
            ("d", name) => Self::Columns(name),
            ("o", name) if !name.is_empty() => Self::File(name),
            ("timing", "") => Self::Timing,
            ("r", "") => Self::Reset,
            _ => Self::Help,
        })
    }
}

/// What was typed and is not answered yet.
#[derive(Debug, Default)]
struct Typed {
    /// Lines of a statement without its end.
    pending: String,
    /// Where the next answer goes, if not to the terminal.
    file: Option<PathBuf>,
}

/// Reads and answers until the end of input.
pub(super) fn run(session: &mut Session, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    // Who cannot ask is told so before they have typed anything.
    session.fetch("SELECT 1", Format::Json)?;
    session.shown_max = SHOWN_ROWS_MAX;
    let config = Config::builder().max_history_size(HISTORY_MAX).map_err(Failure::Editor)?;
    let mut editor = Editor::<(), DefaultHistory>::with_config(config.build()).map_err(Failure::Editor)?;
    let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".avycenna_history"));
    if let Some(history) = &history {
        // The first time there is none.
        let _ = editor.load_history(history);
    }
    terminal.note("\\? for help, \\q to end")?;
    let mut typed = Typed::default();
    let mut entry = String::new();
    loop {
        let prompt = if typed.pending.is_empty() { "avycenna=> " } else { "avycenna-> " };
        match editor.readline(prompt) {
            Ok(line) => {
                entry.push_str(if entry.is_empty() { "" } else { "\n" });
                entry.push_str(&line);
                let goes_on = take(session, terminal, &mut typed, &line)?;
                if typed.pending.is_empty() {
                    // A statement is one entry, however many lines it has. One that cannot be kept was answered all the same.
                    let _ = editor.add_history_entry(std::mem::take(&mut entry));
                }
                if !goes_on {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {
                typed.pending.clear();
                entry.clear();
            }
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
fn take(session: &mut Session, terminal: &mut Terminal<'_>, typed: &mut Typed, line: &str) -> Result<bool, Failure> {
    if !split::is_open(&typed.pending)
        && let Some(order) = Order::parse(line, typed.pending.is_empty())
    {
        return obey(&order, session, terminal, typed);
    }
    typed.pending.push_str(line);
    typed.pending.push('\n');
    let text = std::mem::take(&mut typed.pending);
    let (statements, rest) = split::statements(&text);
    for sql in statements {
        let file = typed.file.take();
        let answered = match &file {
            Some(file) => session.save(sql.trim(), file, terminal),
            None => session.one(sql.trim(), terminal),
        };
        told(answered, terminal)?;
    }
    if !split::is_blank(rest) {
        rest.clone_into(&mut typed.pending);
    }
    Ok(true)
}

/// Does what a line asks of the shell; `false` for the end.
fn obey(
    order: &Order<'_>,
    session: &mut Session,
    terminal: &mut Terminal<'_>,
    typed: &mut Typed,
) -> Result<bool, Failure> {
    match order {
        Order::Quit => return Ok(false),
        Order::Tables => terminal.say(TABLES)?,
        Order::Columns(name) => {
            // A name cannot end its quotes.
            let sql = format!("DESCRIBE \"{}\"", name.replace('"', "\"\""));
            told(session.one(&sql, terminal), terminal)?;
        }
        Order::File(name) => {
            let path = PathBuf::from(name);
            if Format::of_file(&path).is_none() {
                terminal.note(FILE_NAMES)?;
            } else {
                terminal.note(&format!("The next answer goes into {name}."))?;
                typed.file = Some(path);
            }
        }
        Order::Timing => {
            session.is_timed = !session.is_timed;
            terminal.note(if session.is_timed { "Timing is on." } else { "Timing is off." })?;
        }
        Order::Reset => typed.pending.clear(),
        Order::Help => terminal.say(HELP)?,
    }
    Ok(true)
}

/// What is wrong with a statement does not end the shell.
fn told(answered: Result<(), Failure>, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    match answered {
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
        for (line, expected) in [
            (" \\q ", Order::Quit),
            ("\\q;", Order::Quit),
            ("\\d", Order::Tables),
            ("\\d points;", Order::Columns("points")),
            ("\\o my points.csv", Order::File("my points.csv")),
            ("\\o", Order::Help),
            ("\\timing", Order::Timing),
            ("\\r", Order::Reset),
            ("\\?", Order::Help),
        ] {
            for is_first in [true, false] {
                assert_eq!(Order::parse(line, is_first).as_ref(), Some(&expected), "{line}");
            }
        }
        assert_eq!(Order::parse("SELECT 1;", true), None);
        // As people end other shells; in a statement these are names.
        for (line, expected) in [("quit", Order::Quit), ("exit;", Order::Quit), ("help", Order::Help)] {
            assert_eq!(Order::parse(line, true), Some(expected));
            assert_eq!(Order::parse(line, false), None);
        }
    }
}
