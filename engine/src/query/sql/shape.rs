//! How large a statement is, before anything looks into it.
//!
//! What looks into an expression goes as deep as it is, and a planner walks a `WITH` as often as it is named. So the first
//! look bounds both, and is itself no deeper than what it lets through.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, GroupByExpr, ObjectName, Query, Select, Statement, Visit as _, Visitor,
};

use super::extent::{EXPR_DEPTH_MAX, GROUPING_SETS_MAX, TABLES_MAX, refused_here, too_deep, too_large};
use crate::error::{Error, Result};

/// Most lists inside of each other in a type.
const TYPE_DEPTH_MAX: usize = 4;
/// Most tables and queries, each counted as often as it is named. A query of few tables has few queries; how many tables
/// there are exactly, the plan says.
const PARTS_MAX: usize = 4 * TABLES_MAX;

/// Bounds a statement.
///
/// # Errors
/// [`Error::Statement`] for one that is too deep or too large.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match statement.visit(&mut Shape::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Debug, Default)]
struct Shape {
    /// Of each expression around the one that is looked at, the outermost first: whether a tuple may stand in it.
    exprs: Vec<bool>,
    /// The parts of each query around, so far.
    around: Vec<usize>,
    /// Names of the queries in a `WITH`, by their place in memory.
    named: HashMap<*const Query, String>,
    /// Parts of a query by its name; the most, where several have it.
    parts: HashMap<String, usize>,
}

impl Shape {
    fn add(&mut self, parts: usize) -> ControlFlow<Error> {
        let Some(sum) = self.around.last_mut() else { return ControlFlow::Continue(()) };
        *sum = sum.saturating_add(parts);
        if *sum > PARTS_MAX {
            return ControlFlow::Break(too_large(&format!(
                "more than {TABLES_MAX} tables, counted as often as they are named"
            )));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Shape {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = named.alias.name.value.to_lowercase();
            self.named.insert(std::ptr::from_ref(named.query.as_ref()), name);
        }
        self.around.push(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let parts = self.around.pop().unwrap_or(0);
        let Some(name) = self.named.remove(&std::ptr::from_ref(query)) else { return self.add(parts) };
        let known = self.parts.entry(name).or_default();
        *known = parts.max(*known);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let name = relation.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_lowercase());
        let parts = name.and_then(|name| self.parts.get(&name).copied()).unwrap_or(1);
        self.add(parts)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if grouping_sets(&select.group_by) > GROUPING_SETS_MAX {
            return ControlFlow::Break(too_large(&format!("more than {GROUPING_SETS_MAX} grouping sets")));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let takes_tuples = self.exprs.last().copied().unwrap_or(false);
        // A struct of structs of structs is as large as it likes. Tuples that end where they stand are not.
        match expr {
            Expr::Struct { .. } | Expr::Named { .. } | Expr::Dictionary(_) | Expr::Map(_) => {
                return ControlFlow::Break(refused_here("structs and maps are"));
            }
            Expr::Tuple(_) if !takes_tuples => {
                return ControlFlow::Break(refused_here("a tuple that is not compared or counted is"));
            }
            _ => {}
        }
        self.exprs.push(match expr {
            Expr::InList { .. } | Expr::InSubquery { .. } | Expr::BinaryOp { .. } => true,
            Expr::Nested(_) => takes_tuples,
            Expr::Function(function) => function.name.to_string().eq_ignore_ascii_case("count"),
            _ => false,
        });
        let is_too_deep = self.exprs.len() > EXPR_DEPTH_MAX || is_deep_type(expr);
        if is_too_deep { ControlFlow::Break(too_deep()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<Error> {
        self.exprs.pop();
        ControlFlow::Continue(())
    }
}

/// Whether a cast is to lists of lists of lists.
fn is_deep_type(expr: &Expr) -> bool {
    let Expr::Cast { data_type, .. } = expr else { return false };
    let (mut inner, mut depth) = (data_type, 0);
    while let DataType::Array(
        ArrayElemTypeDef::AngleBracket(item)
        | ArrayElemTypeDef::SquareBracket(item, _)
        | ArrayElemTypeDef::Parenthesis(item),
    ) = inner
    {
        (inner, depth) = (item.as_ref(), depth + 1);
    }
    depth > TYPE_DEPTH_MAX
}

/// How many sets a `GROUP BY` is written out as.
fn grouping_sets(group_by: &GroupByExpr) -> usize {
    let GroupByExpr::Expressions(exprs, _) = group_by else { return 1 };
    let sets = exprs.iter().map(|expr| match expr {
        Expr::Cube(of) => u32::try_from(of.len()).ok().and_then(|of| 2_usize.checked_pow(of)).unwrap_or(usize::MAX),
        Expr::Rollup(of) => of.len() + 1,
        Expr::GroupingSets(sets) => sets.len(),
        _ => 1,
    });
    sets.fold(1, usize::saturating_mul)
}
