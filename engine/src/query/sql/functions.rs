//! The functions of one row that a statement may use: those named here, and no others that DataFusion has or will have.
//!
//! Left out is what makes much of little without the memory budget noticing (`repeat`), what takes the square of its
//! input's length in time (`levenshtein`), what makes types of any size (`struct`, `arrow_cast`), and what speaks of
//! files. How long the result of each may be is in [`super::extent`].

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::ScalarUDF;

use super::local_day::LocalDay;

const NUMBERS: &str = "abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh cot degrees exp factorial floor gcd \
    greatest isnan iszero lcm least ln log log10 log2 nanvl pi power radians random round signum sin sinh \
    sqrt tan tanh trunc";

const TIMES: &str = "current_date current_time date_bin date_part date_trunc from_unixtime make_date make_time now to_char \
    to_date to_local_time to_time to_timestamp to_timestamp_micros to_timestamp_millis to_timestamp_nanos \
    to_timestamp_seconds to_unixtime uuid version";

const TEXTS: &str = "arrow_typeof ascii bit_length btrim character_length chr coalesce concat concat_ws contains decode encode \
    ends_with find_in_set initcap left lower ltrim nullif nvl nvl2 octet_length overlay regexp_count \
    regexp_instr regexp_like regexp_match regexp_replace reverse right rtrim split_part starts_with \
    string_to_array strpos substr substr_index to_hex translate upper";

const LISTS: &str = "array_any_value array_append array_avg array_compact array_concat array_dims array_distinct array_element \
    array_except array_has array_intersect array_length array_max array_min array_ndims array_pop_back \
    array_pop_front array_position array_positions array_prepend array_product array_remove array_remove_all \
    array_remove_n array_reverse array_slice array_sort array_sum array_to_string array_union cardinality \
    empty flatten make_array";

/// The functions, and ours.
pub(super) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let known = SessionStateDefaults::default_scalar_functions().into_iter();
    let own = Arc::new(ScalarUDF::new_from_impl(LocalDay::new()));
    known.filter(|function| is_known(function.name())).chain([own]).collect()
}

fn named() -> impl Iterator<Item = &'static str> {
    [NUMBERS, TIMES, TEXTS, LISTS].into_iter().flat_map(str::split_whitespace)
}

fn is_known(name: &str) -> bool {
    named().any(|known| known == name)
}

/// Whether a function may be in a plan: a named one, ours, or what the planner makes of a tuple.
pub(super) fn may_be_planned(name: &str) -> bool {
    is_known(name) || matches!(name, LocalDay::NAME | "struct" | "named_struct")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT_OUT: &str = "array_add array_distance array_has_all array_has_any array_normalize array_repeat array_replace \
        array_replace_all array_replace_n array_resize array_scale array_subtract arrays_zip arrow_cast \
        arrow_field arrow_metadata arrow_try_cast cast_to_type cosine_distance file_row_index \
        generate_series get_field inner_product input_file_name levenshtein lpad map map_entries map_extract \
        map_keys map_values named_struct range repeat replace rpad struct try_cast_to_type union_extract \
        union_tag with_metadata";

    /// Whoever brings in a version of DataFusion with other functions looks at each.
    #[test]
    fn a_function_is_there_because_it_is_named_and_no_other_is() {
        let all = SessionStateDefaults::default_scalar_functions();
        for name in named() {
            assert!(all.iter().any(|function| function.name() == name), "{name} is no function");
        }
        let mut left_out: Vec<&str> =
            all.iter().map(|function| function.name()).filter(|name| !is_known(name)).collect();
        left_out.sort_unstable();
        assert_eq!(left_out, LEFT_OUT.split_whitespace().collect::<Vec<_>>());
        assert!(scalar().iter().any(|function| function.name() == "local_day"));
    }
}
