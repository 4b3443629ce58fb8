//! `?` is the next of `$1`, `$2` …, as JDBC and ODBC write it.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, visit_expressions_mut};

/// Numbers the `?` of a statement in their order.
///
/// # Errors
/// A statement that has both forms.
pub(super) fn number(statement: &mut Statement) -> Result<()> {
    let statement = match statement {
        Statement::Statement(statement) => statement.as_mut(),
        Statement::Explain(explain) => return number(&mut explain.statement),
        _ => return Ok(()),
    };
    let (mut count, mut is_numbered) = (0, false);
    let _ = visit_expressions_mut(statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &mut value.value
        {
            if name == "?" {
                count += 1;
                *name = format!("${count}");
            } else {
                is_numbered = true;
            }
        }
        ControlFlow::<()>::Continue(())
    });
    if count > 0 && is_numbered {
        return plan_err!("a statement has either ? or $1, $2 …");
    }
    Ok(())
}
