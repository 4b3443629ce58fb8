//! Texts for the functions that take no dictionary.
//!
//! Columns of texts are dictionaries, because filters, groups and joins are quicker on them. DataFusion's functions take
//! these or cast them, but for a few that fail at the first row: for those alone a cast is put into the plan.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Expr, ExprSchemable as _};

/// Beginnings of the names of functions that fail on dictionaries.
const WANT_TEXTS: [&str; 4] = ["approx_distinct", "to_timestamp", "to_date", "to_unixtime"];

/// Casts dictionaries where a function wants texts.
#[derive(Debug)]
pub(super) struct PlainTexts;

impl FunctionRewrite for PlainTexts {
    fn name(&self) -> &'static str {
        "plain_texts"
    }

    fn rewrite(&self, mut expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let (name, args) = match &mut expr {
            Expr::ScalarFunction(ScalarFunction { func, args }) => (func.name(), args),
            Expr::AggregateFunction(AggregateFunction { func, params }) => (func.name(), &mut params.args),
            Expr::WindowFunction(window) => {
                let window = &mut **window;
                (window.fun.name(), &mut window.params.args)
            }
            _ => return Ok(Transformed::no(expr)),
        };
        if !WANT_TEXTS.iter().any(|begin| name.starts_with(begin)) {
            return Ok(Transformed::no(expr));
        }
        let mut is_changed = false;
        for arg in args {
            if let DataType::Dictionary(_, values) = arg.get_type(schema)? {
                *arg = std::mem::take(arg).cast_to(&values, schema)?;
                is_changed = true;
            }
        }
        Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
    }
}
