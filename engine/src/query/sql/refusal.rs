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

/// The error of a statement.
pub(super) fn refused(error: DataFusionError, sql: &str) -> Error {
    let error = match to_error(error) {
        Error::Query(error) => error,
        own => return own,
    };
    let Some(words) = words(&error) else { return Error::Query(error) };
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
        DataFusionError::Collection(errors) => words(errors.first()?),
        _ => None,
    }
}

/// The place behind `at Line: `, as in `1, Column: 8`.
fn parsed_place(place: &str, sql: &str) -> Option<usize> {
    let (line, column) = place.split_once(", Column: ")?;
    offset(sql, line.parse().ok()?, column.trim().parse().ok()?)
}

/// The byte of a line and column, both from 1, columns in characters. 0 is no place.
fn offset(sql: &str, line: u64, column: u64) -> Option<usize> {
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
    fn a_message_has_a_bound() {
        let error = refused(DataFusionError::Plan("ä".repeat(10_000)), "SELECT 1");
        assert!(error.to_string().len() <= MESSAGE_BYTES_MAX + 3);
    }
}
