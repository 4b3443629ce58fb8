//! How far a statement reaches, told from its plan before anything of it is optimized or computed.
//!
//! DataFusion's budget counts what sorts, joins and aggregates keep. It does not count what an expression makes of a
//! batch: `concat(x, x)` in twenty `WITH`s is a million times `x`, and one literal of a megabyte is eight gigabytes in a
//! batch of 8,192 rows. Nor does it count the plan: twenty `WITH`s of which each names the one before twice are a million
//! tables. So each statement is surveyed: its size is bounded, as is each row that it makes; and batches have as few rows
//! as the longest row asks for.
//!
//! A survey tells the most that can be: a `WITH` counts as often as it is named, an expression as often as the optimizer
//! may write it out, a text as the longest that its function can give. What `array_agg` and `string_agg` give has a bound
//! of its own, which [`super::narrow`] enforces.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Cast, GroupingSet, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::functions;
use super::param::Param;
use crate::error::{Bound, Error, Place, Result};
use crate::query::budget::to_error;
use crate::query::leaf::external;

/// Most expressions inside of each other.
pub(super) const EXPR_DEPTH_MAX: usize = 256;
/// Most steps of a plan behind each other.
const STEPS_MAX: usize = 256;
/// Most tables, lists of values and selects without a table, each counted as often as it is named.
pub(super) const TABLES_MAX: usize = 128;
/// Most expressions, each counted as often as the optimizer may write it out.
const EXPRS_MAX: u64 = 65_536;
/// Most sets of `GROUPING SETS`, `CUBE` and `ROLLUP`.
pub(super) const GROUPING_SETS_MAX: usize = 256;
/// Rows of a batch where rows are short.
const BATCH_ROWS: usize = 8_192;
/// What may be made of one batch: this share of a query's memory.
const BATCH_SHARE: usize = 8;
/// What a value of `array_agg` or `string_agg` may have: this share of what may be made of a batch.
const LIST_SHARE: u64 = 8;
/// What may be written beside the values of one row's lists, which are all written at once: so many times what may be made
/// of a batch.
const BESIDE_LISTS_SHARE: u64 = 16;
/// Bytes of a value of a list.
const LIST_VALUE_BYTES: u64 = 8;
/// Bytes that windows may make of each row without being counted: a few numbers, a text of our tables.
const WINDOW_ROW_BYTES_FREE: u64 = 256;
/// Bytes of a number, a time or a truth with room for what goes with it.
const SHORT_BYTES: u64 = 16;
/// Bytes of a text of our tables at most.
const TEXT_BYTES: u64 = 128;
/// Bytes of the description of a metric.
const DESCRIPTION_BYTES: u64 = 1_024;

/// What a statement may make of a row, and how many rows a batch so may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Rows of a batch below every `array_agg` and `string_agg`.
    pub(super) rows: usize,
    /// ... and behind one, where values are long.
    pub(super) rows_behind_lists: usize,
    /// Bytes that may be made of one batch.
    pub(super) batch_bytes: u64,
    /// Bytes that a value of `array_agg` or `string_agg` may have.
    pub(super) list_bytes: u64,
    /// Bytes that windows make of each row that they keep, beside the row.
    pub(super) window_row_bytes: u64,
}

impl Extent {
    /// Whether batches are as everywhere.
    pub(super) fn is_plain(self) -> bool {
        self.rows_behind_lists == BATCH_ROWS
    }
}

/// Surveys a plan whose query may have `memory_bytes`, before `params` are written into it wherever they are named.
///
/// # Errors
/// [`Error::Statement`] for a plan that is too large, [`Error::Budget`] for a row that can be too long and for values that
/// are, all together.
pub(super) fn survey(plan: &LogicalPlan, params: &[Param], memory_bytes: usize) -> Result<Extent> {
    let batch_bytes = u64::try_from(memory_bytes / BATCH_SHARE).unwrap_or(u64::MAX).max(1);
    let mut survey = Survey {
        params: params.iter().map(|param| literal_bytes(param.value())).collect(),
        value_bytes: 0,
        window_row_bytes: 0,
        list_bytes: batch_bytes / LIST_SHARE,
        tables: 0,
        exprs: 0,
        row_bytes: 0,
        list_row_bytes: 0,
        longest: SHORT_BYTES,
        beside_lists_max: batch_bytes.saturating_mul(BESIDE_LISTS_SHARE),
    };
    survey.plan(plan, 0)?;
    let longest = survey.row_bytes.max(survey.list_row_bytes);
    if longest.max(survey.value_bytes) > batch_bytes {
        return Err(too_long());
    }
    let rows = |row_bytes: u64| {
        let rows = usize::try_from(batch_bytes / row_bytes.max(1)).unwrap_or(BATCH_ROWS);
        rows.clamp(1, BATCH_ROWS)
    };
    Ok(Extent {
        rows: rows(survey.row_bytes),
        rows_behind_lists: rows(longest),
        batch_bytes,
        list_bytes: survey.list_bytes,
        window_row_bytes: survey.window_row_bytes.saturating_sub(WINDOW_ROW_BYTES_FREE),
    })
}

/// What is known of an expression or a column, with everything that it is made of.
#[derive(Debug, Clone, Copy)]
struct Made {
    /// Bytes of its value in one row at most.
    bytes: u64,
    /// ... and of all values on the way to it.
    all_bytes: u64,
    /// Expressions, itself included.
    exprs: u64,
    depth: usize,
    /// Whether an `array_agg` or `string_agg` is in it.
    is_of_list: bool,
}

impl Made {
    /// A value that is there already.
    fn there(bytes: u64, is_of_list: bool) -> Self {
        Self { bytes, all_bytes: bytes, exprs: 1, depth: 1, is_of_list }
    }

    /// Whichever of two is more, in each respect.
    fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            all_bytes: self.all_bytes.max(other.all_bytes),
            exprs: self.exprs.max(other.exprs),
            depth: self.depth.max(other.depth),
            is_of_list: self.is_of_list || other.is_of_list,
        }
    }
}

struct Survey {
    /// Bytes of the values of `$1`, `$2` …
    params: Vec<u64>,
    /// Bytes of all literals and values, as often as they stand there.
    value_bytes: u64,
    /// Bytes of a value of `array_agg` or `string_agg` at most.
    list_bytes: u64,
    tables: usize,
    exprs: u64,
    /// Bytes that are made of one row, where no `array_agg` or `string_agg` is in it.
    row_bytes: u64,
    /// ... and where one is.
    list_row_bytes: u64,
    /// Bytes of the longest column so far.
    longest: u64,
    /// Bytes that windows make of a row.
    window_row_bytes: u64,
    /// Bytes that a step may write beside the values of one row's lists.
    beside_lists_max: u64,
}

/// The inputs of a step and their columns.
type Inputs<'a> = [(&'a LogicalPlan, Vec<Made>)];

impl Survey {
    /// The columns of a plan.
    fn plan(&mut self, plan: &LogicalPlan, steps: usize) -> Result<Vec<Made>> {
        if steps > STEPS_MAX {
            return Err(too_large(&format!("more than {STEPS_MAX} steps behind each other")));
        }
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push((input, self.plan(input, steps + 1)?));
        }
        if inputs.is_empty() {
            self.tables += 1;
            if self.tables > TABLES_MAX {
                return Err(too_large(&format!("more than {TABLES_MAX} tables, counted as often as they are named")));
            }
        }
        let mut made = Vec::new();
        let walked = plan.apply_expressions(|expr| {
            let one = self.expr(expr, &inputs, steps).map_err(external)?;
            self.exprs = self.exprs.saturating_add(one.exprs);
            made.push(one);
            Ok(TreeNodeRecursion::Continue)
        });
        walked.map_err(to_error)?;
        if self.exprs > EXPRS_MAX {
            return Err(too_large(&format!("more than {EXPRS_MAX} expressions, written out")));
        }
        let columns = self.columns(plan, &inputs, &made);
        self.note(&made, |one| one.all_bytes);
        self.note(&columns, |column| column.bytes);
        self.longest = columns.iter().map(|column| column.bytes).fold(self.longest, u64::max);
        match plan {
            LogicalPlan::Unnest(_) => self.beside_lists(&inputs)?,
            LogicalPlan::Window(window) => self.windows(&window.window_expr, inputs, steps)?,
            _ => {}
        }
        Ok(columns)
    }

    /// Notes what windows make of each row: they do so for all rows of a partition at once.
    fn windows(&mut self, windows: &[Expr], mut inputs: Vec<(&LogicalPlan, Vec<Made>)>, steps: usize) -> Result<()> {
        // Columns are there already.
        inputs.iter_mut().flat_map(|(_, columns)| columns).for_each(|column| column.all_bytes = 0);
        let mut bytes = 0_u64;
        for window in windows {
            bytes = bytes.saturating_add(self.expr(window, &inputs, steps)?.all_bytes);
        }
        self.window_row_bytes = self.window_row_bytes.saturating_add(bytes);
        Ok(())
    }

    /// Notes what is made of one row.
    fn note(&mut self, made: &[Made], bytes: impl Fn(&Made) -> u64) {
        let bytes = made.iter().map(bytes).fold(0, u64::saturating_add);
        let is_of_list = made.iter().any(|one| one.is_of_list);
        let row = if is_of_list { &mut self.list_row_bytes } else { &mut self.row_bytes };
        *row = bytes.max(*row);
    }

    /// Whether what stands beside a list may be written once for each of its values.
    fn beside_lists(&self, inputs: &Inputs<'_>) -> Result<()> {
        let columns = inputs.iter().flat_map(|(input, columns)| input.schema().fields().iter().zip(columns));
        let (lists, others): (Vec<_>, Vec<_>) = columns.partition(|(field, _)| field.data_type().is_nested());
        let bytes = |of: Vec<(_, &Made)>| of.into_iter().map(|(_, made)| made.bytes).fold(0, u64::saturating_add);
        let values = bytes(lists) / LIST_VALUE_BYTES;
        if bytes(others).saturating_mul(values) > self.beside_lists_max { Err(too_long()) } else { Ok(()) }
    }

    /// What a step makes of its inputs' columns and of its own expressions.
    fn columns(&self, plan: &LogicalPlan, inputs: &Inputs<'_>, made: &[Made]) -> Vec<Made> {
        let width = plan.schema().fields().len();
        let all = || inputs.iter().flat_map(|(_, columns)| columns.iter().copied());
        match plan {
            LogicalPlan::Projection(_) => made.to_vec(),
            LogicalPlan::Window(_) => all().chain(made.iter().map(|one| self.computed(one))).collect(),
            LogicalPlan::Aggregate(aggregate) => {
                let (groups, figures) = made.split_at(aggregate.group_expr.len().min(made.len()));
                let group = most(groups.iter().copied());
                let groups = std::iter::repeat_n(group, width.saturating_sub(figures.len()));
                groups.chain(figures.iter().map(|one| self.computed(one))).collect()
            }
            LogicalPlan::Values(_) => {
                (0..width).map(|nth| most(made.iter().skip(nth).step_by(width).copied())).collect()
            }
            LogicalPlan::Union(_) => {
                let nth = |nth: usize| inputs.iter().filter_map(move |(_, columns)| columns.get(nth).copied());
                (0..width).map(|place| most(nth(place))).collect()
            }
            LogicalPlan::Unnest(unnest) => {
                let whole: Vec<Made> = all().collect();
                let of = |place: &usize| whole.get(*place).copied().unwrap_or_else(|| most(all()));
                unnest.dependency_indices.iter().map(of).collect()
            }
            _ if inputs.is_empty() => plan.schema().fields().iter().map(|field| stored(field)).collect(),
            _ => {
                let whole: Vec<Made> = all().collect();
                let same = inputs.iter().map(|(_, columns)| columns).find(|columns| columns.len() == width);
                match same {
                    _ if whole.len() == width => whole,
                    Some(columns) => columns.clone(),
                    None => vec![most(whole.into_iter().chain(made.iter().copied())); width],
                }
            }
        }
    }

    /// A column that is computed over many rows: nothing of how it was made is written out behind it.
    fn computed(&self, one: &Made) -> Made {
        Made::there(one.bytes, one.is_of_list || one.bytes >= self.list_bytes)
    }

    fn expr(&mut self, expr: &Expr, inputs: &Inputs<'_>, steps: usize) -> Result<Made> {
        let mut args = Vec::new();
        let walked = expr.apply_children(|arg| {
            args.push(self.expr(arg, inputs, steps).map_err(external)?);
            Ok(TreeNodeRecursion::Continue)
        });
        walked.map_err(to_error)?;
        let bytes = match expr {
            Expr::Column(column) => return Ok(found(column, inputs)),
            Expr::Alias(_) => return Ok(most(args.into_iter())),
            Expr::OuterReferenceColumn(..) => return Ok(Made::there(self.longest, self.list_row_bytes > 0)),
            Expr::Literal(value, _) => return Ok(self.value(literal_bytes(value))),
            Expr::Placeholder(place) => {
                let nth = place.id.strip_prefix('$').and_then(|nth| nth.parse::<usize>().ok());
                let bytes = nth.and_then(|nth| self.params.get(nth.checked_sub(1)?).copied());
                return Ok(self.value(bytes.unwrap_or(SHORT_BYTES)));
            }
            Expr::ScalarSubquery(query) => return Ok(most(self.plan(&query.subquery, steps + 1)?.into_iter().take(1))),
            Expr::Exists(exists) => self.subquery(&exists.subquery.subquery, steps)?,
            Expr::InSubquery(within) => self.subquery(&within.subquery.subquery, steps)?,
            Expr::SetComparison(compared) => self.subquery(&compared.subquery.subquery, steps)?,
            // The list is looked up, not made again for each row.
            Expr::InList(_) => {
                let exprs = sum(&args, |arg| arg.exprs);
                args.truncate(1);
                let one = within(&args, SHORT_BYTES)?;
                return Ok(Made { exprs: exprs.saturating_add(1), ..one });
            }
            // The planner has functions of its own for what has a syntax of its own.
            Expr::ScalarFunction(called) if !functions::may_be_planned(called.name()) => {
                return Err(refused_here(&format!("'{}' is", called.name())));
            }
            Expr::ScalarFunction(called) => function_bytes(called.name(), &args),
            Expr::AggregateFunction(called) => {
                let bytes = sum(&args, |arg| arg.bytes).saturating_add(SHORT_BYTES);
                let bytes = if is_list_maker(called.func.name()) { self.list_bytes } else { bytes };
                // What an aggregate gives is there once for many rows: its arguments are what is made of each.
                return Ok(Made { bytes, ..within(&args, 0)? });
            }
            Expr::WindowFunction(called) if is_list_maker(called.fun.name()) => {
                return Err(refused_here("array_agg and string_agg with OVER are"));
            }
            Expr::WindowFunction(called) => {
                // The rows that it looks at come first; those that it is told by give nothing.
                let own = called.params.args.iter().zip(&args);
                let bytes = own.clone().map(|(_, arg)| arg.bytes).fold(SHORT_BYTES, u64::saturating_add);
                // What is there already is handed on, and its text is not written again.
                let made = own.map(|(expr, arg)| if matches!(expr, Expr::Column(_)) { 0 } else { arg.bytes });
                let made = made.fold(SHORT_BYTES, u64::saturating_add);
                return Ok(Made { bytes, ..within(&args, made)? });
            }
            Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
                cast_bytes(field.data_type(), sum(&args, |arg| arg.bytes))?
            }
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) if sets.len() > GROUPING_SETS_MAX => {
                return Err(too_large(&format!("more than {GROUPING_SETS_MAX} grouping sets")));
            }
            Expr::BinaryExpr(BinaryExpr { op, .. }) if *op != Operator::StringConcat => SHORT_BYTES,
            Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Between(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_) => SHORT_BYTES,
            _ => sum(&args, |arg| arg.bytes).saturating_add(SHORT_BYTES),
        };
        within(&args, bytes)
    }

    /// A literal, or what will be one.
    fn value(&mut self, bytes: u64) -> Made {
        self.value_bytes = self.value_bytes.saturating_add(bytes);
        Made::there(bytes, false)
    }

    /// Surveys a query of which a truth is made.
    fn subquery(&mut self, query: &LogicalPlan, steps: usize) -> Result<u64> {
        self.plan(query, steps + 1)?;
        Ok(SHORT_BYTES)
    }
}

/// An expression around others.
fn within(args: &[Made], bytes: u64) -> Result<Made> {
    let depth = args.iter().map(|arg| arg.depth).max().unwrap_or(0) + 1;
    if depth > EXPR_DEPTH_MAX {
        return Err(too_deep());
    }
    Ok(Made {
        bytes,
        all_bytes: sum(args, |arg| arg.all_bytes).saturating_add(bytes),
        exprs: sum(args, |arg| arg.exprs).saturating_add(1),
        depth,
        is_of_list: args.iter().any(|arg| arg.is_of_list),
    })
}

/// What a column of an input is.
fn found(column: &Column, inputs: &Inputs<'_>) -> Made {
    let one = inputs.iter().find_map(|(input, columns)| {
        let place = input.schema().maybe_index_of_column(column)?;
        columns.get(place).copied()
    });
    // The planner knows more ways to name a column of what it made itself.
    one.unwrap_or_else(|| most(inputs.iter().flat_map(|(_, columns)| columns.iter().copied())))
}

/// The most of some, in each respect.
fn most(of: impl Iterator<Item = Made>) -> Made {
    of.reduce(Made::or).unwrap_or_else(|| Made::there(SHORT_BYTES, false))
}

fn sum(args: &[Made], of: impl Fn(&Made) -> u64) -> u64 {
    args.iter().map(of).fold(0, u64::saturating_add)
}

/// A column of our tables, or of what the planner tells of itself.
fn stored(field: &Field) -> Made {
    let bytes = match field.data_type() {
        _ if field.name() == "description" => DESCRIPTION_BYTES,
        DataType::Utf8 | DataType::Dictionary(..) => TEXT_BYTES,
        other if other.is_nested() => DESCRIPTION_BYTES,
        _ => SHORT_BYTES,
    };
    Made::there(bytes, false)
}

fn literal_bytes(value: &ScalarValue) -> u64 {
    let bytes = match value.try_as_str() {
        Some(text) => text.map_or(0, str::len),
        None if value.data_type().is_nested() => value.size(),
        None => 0,
    };
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(SHORT_BYTES)
}

/// Whether an aggregate gives all that it got.
pub(super) fn is_list_maker(name: &str) -> bool {
    matches!(name, "array_agg" | "string_agg")
}

/// How long the result of a function of one row can be.
fn function_bytes(name: &str, args: &[Made]) -> u64 {
    let nth = |nth: usize| args.get(nth).map_or(0, |arg| arg.bytes);
    let count = u64::try_from(args.len()).unwrap_or(u64::MAX);
    let all = sum(args, |arg| arg.bytes);
    let bytes = match name {
        // Each character may be replaced, and `\0` is all that was found.
        "regexp_replace" => (nth(0).saturating_add(1)).saturating_mul(nth(2).saturating_add(1)).saturating_mul(2),
        // Each group may hold everything.
        "regexp_match" => nth(0).saturating_add(4).saturating_mul(nth(1) / 2 + 1),
        // `%c` is a whole date.
        "to_char" => nth(1).saturating_add(1).saturating_mul(40),
        "concat_ws" => nth(0).saturating_mul(count).saturating_add(all),
        // A value of a list may be a single byte, and a number of eight has 24 digits.
        "array_to_string" => {
            let between = nth(1).saturating_add(nth(2)).saturating_add(1);
            nth(0).saturating_mul(4).saturating_add(nth(0).saturating_mul(between))
        }
        // Each character may become a text of its own.
        "string_to_array" => nth(0).saturating_mul(8).saturating_add(nth(2)),
        "translate" | "lower" | "upper" | "initcap" | "encode" => all.saturating_mul(4),
        "arrow_typeof" => DESCRIPTION_BYTES,
        "array_has" | "array_length" | "array_position" | "ascii" | "bit_length" | "cardinality"
        | "character_length" | "contains" | "empty" | "ends_with" | "find_in_set" | "octet_length" | "regexp_count"
        | "regexp_instr" | "regexp_like" | "starts_with" | "strpos" => 0,
        _ => all,
    };
    bytes.saturating_add(SHORT_BYTES)
}

/// How long a value is as another type.
fn cast_bytes(to: &DataType, bytes: u64) -> Result<u64> {
    match to {
        DataType::List(item) if item.data_type().is_nested() => Err(refused_here("a list of lists as a type is")),
        DataType::List(_) => Ok(bytes.saturating_mul(4).saturating_add(SHORT_BYTES)),
        DataType::FixedSizeList(..) | DataType::FixedSizeBinary(_) => Err(refused_here("a type of a fixed size is")),
        other if other.is_nested() => Err(refused_here("this type is")),
        // A number of eight bytes has 24 digits, and a list of them is written out.
        _ if bytes <= TEXT_BYTES => Ok(bytes + 2 * SHORT_BYTES),
        _ => Ok(bytes.saturating_mul(4)),
    }
}

/// What is said to a statement that asks for too much.
pub(super) fn too_large(what: &str) -> Error {
    Error::Statement { msg: format!("the statement is too large: {what}"), place: Place::Text }
}

fn too_long() -> Error {
    Error::Budget { bound: Bound::Size, what: "memory of one query (`query_memory_bytes`)".to_owned() }
}

/// What is said to what there is elsewhere and not here.
pub(super) fn refused_here(what: &str) -> Error {
    Error::Statement { msg: format!("{what} not supported here"), place: Place::Text }
}

/// What is said to expressions inside of each other without end.
pub(super) fn too_deep() -> Error {
    let msg = format!(
        "nested too deeply: at most {EXPR_DEPTH_MAX} expressions inside of each other; a long chain of OR is shorter as IN (…)"
    );
    Error::Statement { msg, place: Place::Text }
}
