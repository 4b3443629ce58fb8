//! What a statement may be, looked at before the planner speaks.
//!
//! Queries, `EXPLAIN` and `DESCRIBE` of queries: whatever else there is writes, sets or begins something, and is told that
//! SQL here only reads. A clause that the planner would pass over is refused: an answer over all rows is not the one that
//! `TABLESAMPLE` asked for.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Query, Select, SelectItem, SetExpr, Spanned, Statement as Parsed,
    TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::{refusal, shape};
use crate::error::{Error, Place, Result};

/// What is said to a statement that is no query.
const ONLY_READS: &str = "SQL here only reads: a statement is SELECT, WITH or VALUES, or EXPLAIN or DESCRIBE of one";

/// Whether a statement is a query of which each clause counts; `is_scalar` knows the functions of one row by their names.
///
/// # Errors
/// [`Error::Statement`], at the clause or just before it.
pub(super) fn check(statement: &Statement, sql: &str, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
    let parsed = match statement {
        Statement::Statement(parsed) => parsed.as_ref(),
        Statement::Explain(explain) => return check(&explain.statement, sql, is_scalar),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => return Err(only_reads()),
    };
    if !is_read(parsed) {
        return Err(only_reads());
    }
    shape::check(parsed)?;
    let ControlFlow::Break(found) = parsed.visit(&mut Clauses { is_scalar }) else { return Ok(()) };
    match found {
        Found::Writing => Err(only_reads()),
        Found::Unheeded { clause, at } => {
            let place = refusal::offset(sql, at.line, at.column).map_or(Place::Text, |byte| {
                let rest = sql.get(byte..).unwrap_or_default();
                Place::Byte(byte + rest.len() - rest.trim_start().len())
            });
            Err(Error::Statement { msg: format!("{clause} is not supported here"), place })
        }
    }
}

fn only_reads() -> Error {
    Error::Statement { msg: ONLY_READS.to_owned(), place: Place::Text }
}

fn is_read(statement: &Parsed) -> bool {
    match statement {
        Parsed::Query(_) | Parsed::ExplainTable { .. } => true,
        Parsed::Explain { statement, .. } => is_read(statement),
        _ => false,
    }
}

/// Why a statement is refused.
enum Found {
    /// A part of a query writes: `WITH … INSERT`, `SELECT … INTO`.
    Writing,
    /// A clause that would do nothing.
    Unheeded { clause: &'static str, at: Location },
}

/// Looks for what is refused in all parts of a statement.
struct Clauses<'a> {
    is_scalar: &'a dyn Fn(&str) -> bool,
}

/// The first of some clauses that is there.
fn first(clauses: &[(bool, &'static str)], at: Location) -> ControlFlow<Found> {
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, clause)) => ControlFlow::Break(Found::Unheeded { clause, at }),
        None => ControlFlow::Continue(()),
    }
}

impl Visitor for Clauses<'_> {
    type Break = Found;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Found> {
        let mut body = query.body.as_ref();
        while let SetExpr::SetOperation { right, .. } = body {
            body = right;
        }
        if matches!(body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)) {
            return ControlFlow::Break(Found::Writing);
        }
        let clauses = [
            (!query.locks.is_empty(), "FOR UPDATE or FOR SHARE"),
            (query.for_clause.is_some(), "FOR XML, JSON or BROWSE"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
        ];
        first(&clauses, query.span().end)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Found> {
        if select.into.is_some() {
            return ControlFlow::Break(Found::Writing);
        }
        let has_modifier = match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => !modifiers.is_empty(),
        };
        let has_ilike = select.projection.iter().any(|item| match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => options.opt_ilike.is_some(),
            _ => false,
        });
        let clauses = [
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (select.value_table_mode.is_some(), "SELECT AS VALUE or AS STRUCT"),
            (select.select_modifiers.is_some(), "a modifier of SELECT"),
            (select.exclude.is_some(), "EXCLUDE behind other columns than *"),
            (has_modifier, "GROUP BY … WITH"),
            (has_ilike, "* ILIKE"),
        ];
        first(&clauses, select.select_token.0.span.start)
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Found> {
        let at = table.span().start;
        match table {
            TableFactor::Table {
                alias,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                let clauses = [
                    (sample.is_some(), "TABLESAMPLE"),
                    (!with_hints.is_empty(), "WITH (…) behind a table"),
                    (version.is_some(), "a version of a table"),
                    (*with_ordinality, "WITH ORDINALITY"),
                    (!partitions.is_empty(), "PARTITION behind a table"),
                    (json_path.is_some(), "a path behind a table"),
                    (!index_hints.is_empty(), "a hint of an index"),
                    (alias.as_ref().is_some_and(|alias| alias.at.is_some()), "AT behind a table"),
                ];
                first(&clauses, at)
            }
            TableFactor::Derived { sample, .. } => first(&[(sample.is_some(), "TABLESAMPLE")], at),
            TableFactor::Function { with_ordinality, .. } => first(&[(*with_ordinality, "WITH ORDINALITY")], at),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Found> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if !(self.is_scalar)(&function.name.to_string().to_lowercase()) {
            return ControlFlow::Continue(());
        }
        let Function { args, over, filter, null_treatment, within_group, .. } = function;
        let FunctionArguments::List(list) = args else { return ControlFlow::Continue(()) };
        let clauses = [
            (over.is_some(), "OVER behind a function of one row"),
            (filter.is_some(), "FILTER behind a function of one row"),
            (null_treatment.is_some(), "IGNORE or RESPECT NULLS behind a function of one row"),
            (!within_group.is_empty(), "WITHIN GROUP behind a function of one row"),
            (list.duplicate_treatment.is_some(), "DISTINCT or ALL in a function of one row"),
            (!list.clauses.is_empty(), "a clause among the arguments of a function of one row"),
        ];
        first(&clauses, function.name.span().start)
    }
}
