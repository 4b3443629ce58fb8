//! What of an error a caller is told, and where in their text it is.
//!
//! A statement's own faults are told in the planner's words: they speak of the statement and of the caller's rows, as
//! nothing else is in reach. Everything else stays an internal error.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::error::{Error, Place};
use crate::query::budget::to_error;

/// Longest message, bytes: a planner lists all functions that it knows.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Begins what a planner says of its own bugs.
const OF_ITSELF: &str = "Internal error";
/// Begins what is wrong with a regular expression.
const NO_PATTERN: &str = "Regular expression did not compile";
/// Begins what is wrong with a function's arguments.
const NO_FUNCTION: &str = "No function matches";

/// The error of a statement.
pub(super) fn refused(error: DataFusionError, sql: &str) -> Error {
    let error = match to_error(error) {
        Error::Query(error) => error,
        own => return own,
    };
    let Some(words) = words(&error).and_then(plain) else { return Error::Query(error) };
    let (mut msg, place) = match words.rsplit_once(" at Line: ") {
        Some((msg, place)) => (msg.to_owned(), parsed_place(place, sql)),
        None => (words, None),
    };
    let span = || {
        let start = error.diagnostic()?.span?.start;
        offset(sql, start.line, start.column)
    };
    let place = place.or_else(span).map_or(Place::Text, Place::Byte);
    if msg.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| msg.is_char_boundary(*end)).unwrap_or(0);
        msg.truncate(end);
        msg.push('…');
    }
    Error::Statement { msg, place }
}

/// The message of a fault of the statement; `None` for a fault of ours.
fn words(error: &DataFusionError) -> Option<String> {
    match error.find_root() {
        DataFusionError::SQL(error, _) => Some(match error.as_ref() {
            ParserError::TokenizerError(msg) | ParserError::ParserError(msg) => msg.clone(),
            ParserError::RecursionLimitExceeded => "nested too deeply".to_owned(),
        }),
        DataFusionError::Plan(msg)
        | DataFusionError::NotImplemented(msg)
        | DataFusionError::Configuration(msg)
        | DataFusionError::Execution(msg) => Some(msg.clone()),
        DataFusionError::SchemaError(error, _) => Some(error.to_string()),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::NotYetImplemented(msg)
            | ArrowError::CastError(msg)
            | ArrowError::ParseError(msg)
            | ArrowError::ComputeError(msg)
            | ArrowError::ArithmeticOverflow(msg)
            | ArrowError::InvalidArgumentError(msg)
            | ArrowError::CsvError(msg) => Some(msg.clone()),
            ArrowError::DivideByZero => Some("division by zero".to_owned()),
            _ => None,
        },
        // One of the ways to a regular expression reports the statement's fault as one of its own.
        DataFusionError::Internal(msg) => {
            let found = msg.get(msg.find(NO_PATTERN)?..)?;
            Some(found.lines().next().unwrap_or(found).to_owned())
        }
        DataFusionError::Collection(errors) => words(errors.first()?),
        _ => None,
    }
}

/// The same without what the planner says of itself, and with texts as callers know them; `None` if nothing is left.
///
/// Where arguments fit no signature of a function, it reports that as a bug of its own and goes on with what is wrong.
fn plain(words: String) -> Option<String> {
    let words = if words.contains(OF_ITSELF) { words.get(words.find(NO_FUNCTION)?..)?.to_owned() } else { words };
    Some(words.replace("Dictionary(Int32, Utf8)", "Utf8")).filter(|words| !words.contains(OF_ITSELF))
}

/// The place behind `at Line: `, as in `1, Column: 8`.
fn parsed_place(place: &str, sql: &str) -> Option<usize> {
    let (line, column) = place.split_once(", Column: ")?;
    offset(sql, line.parse().ok()?, column.trim().parse().ok()?)
}

/// The byte of a line and column, both from 1, columns in characters. 0 is no place.
pub(super) fn offset(sql: &str, line: u64, column: u64) -> Option<usize> {
    let (line, column) = (usize::try_from(line).ok()?.checked_sub(1)?, usize::try_from(column).ok()?.checked_sub(1)?);
    let before: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = sql.get(before..)?;
    Some(before + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_column_are_a_byte() {
        let sql = "SELECT 'ä',\n  x";
        assert_eq!(offset(sql, 1, 1), Some(0));
        assert_eq!(offset(sql, 1, 10), Some(10), "an umlaut has two bytes");
        assert_eq!(offset(sql, 2, 3), Some(15));
        assert_eq!(offset(sql, 9, 9), Some(sql.len()));
        assert_eq!(offset(sql, 0, 0), None);
        assert_eq!(parsed_place("2, Column: 3", sql), Some(15));
    }

    #[test]
    fn what_is_no_fault_of_the_statement_is_not_told() {
        let inner = std::io::Error::other("/var/lib/avycenna");
        for error in [DataFusionError::IoError(inner), DataFusionError::Internal("a bug".to_owned())] {
            assert!(matches!(refused(error, "SELECT 1"), Error::Query(_)));
        }
    }

    #[test]
    fn a_planner_says_nothing_of_itself() {
        let fits = "No function matches the given name and argument types 'sum(Dictionary(Int32, Utf8))'.";
        let bug = "Internal error: Function 'sum' failed.\nThis issue was likely caused by a bug in DataFusion's code.";
        let error = refused(DataFusionError::Plan(format!("{bug}. {fits}")), "SELECT 1");
        let msg = fits.replace("Dictionary(Int32, Utf8)", "Utf8");
        assert!(matches!(&error, Error::Statement { msg: found, .. } if *found == msg), "{error:?}");
        for words in [bug.to_owned(), format!("{bug} {fits} {bug}")] {
            assert!(matches!(refused(DataFusionError::Plan(words), "SELECT 1"), Error::Query(_)));
        }
    }

    #[test]
    fn a_message_has_a_bound() {
        let error = refused(DataFusionError::Plan("ä".repeat(10_000)), "SELECT 1");
        assert!(error.to_string().len() <= MESSAGE_BYTES_MAX + 3);
    }
}
