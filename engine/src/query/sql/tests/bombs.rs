//! Statements that are small and ask for much.

use std::collections::BTreeSet;

use super::*;

/// A statement of `WITH`s, each over the one before.
fn chain(base: &str, step: &str, levels: usize, end: &str) -> String {
    let mut sql = format!("WITH t0 AS ({base})");
    for level in 1..=levels {
        write!(sql, ", t{level} AS ({})", step.replace("{}", &format!("t{}", level - 1))).unwrap();
    }
    format!("{sql} {}", end.replace("{}", &format!("t{levels}")))
}

#[derive(Debug, PartialEq)]
enum Told {
    /// The words of a refusal.
    Refused(String),
    Memory,
}

/// What a statement is told, which must be soon.
fn told(fixture: &Fixture, sql: &str, params: Vec<Param>) -> Told {
    match fixture.rows(&[user('a')], sql, params) {
        Err(Error::Statement { msg, .. }) => Told::Refused(msg),
        Err(Error::Budget { bound: Bound::Size, what }) if what.contains("memory") => Told::Memory,
        other => panic!("{}: {other:?}", sql.get(..200).unwrap_or(sql)),
    }
}

fn refused(fixture: &Fixture, sql: &str, word: &str) {
    let told = told(fixture, sql, Vec::new());
    assert!(matches!(&told, Told::Refused(msg) if msg.contains(word)), "{}: {told:?}", sql.get(..200).unwrap_or(sql));
}

fn memory(fixture: &Fixture, sql: &str, params: Vec<Param>) {
    assert_eq!(told(fixture, sql, params), Told::Memory, "{}", sql.get(..200).unwrap_or(sql));
}

#[test]
fn an_expression_goes_so_deep_and_no_deeper_however_it_is_written() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 30);
    let all = user('a');
    let sums = |terms: usize| format!("SELECT sum(value{}) FROM points", "+1".repeat(terms));
    let rows = fixture.rows(&[all], &sums(200), Vec::new()).unwrap();
    assert_eq!(rows[0][0], (40..70).map(f64::from).sum::<f64>() + 6_000.0);
    for terms in [300, 2_000, 30_000] {
        refused(&fixture, &sums(terms), "nested too deeply");
    }
    let either = (0..2_000).map(|nth| format!("value = {nth}")).collect::<Vec<_>>().join(" OR ");
    refused(&fixture, &format!("SELECT count(*) FROM points WHERE {either}"), "shorter as IN (…)");
    let list = (0..5_000).map(|nth| nth.to_string()).collect::<Vec<_>>().join(",");
    let rows = fixture.rows(&[all], &format!("SELECT count(*) FROM points WHERE value IN ({list})"), Vec::new());
    assert_eq!(rows.unwrap()[0][0], 30);
    // What the optimizer would write out, level by level.
    refused(
        &fixture,
        &chain("SELECT value AS x FROM points", "SELECT x + 1 + 1 + 1 AS x FROM {}", 100, "SELECT sum(x) FROM {}"),
        "nested too deeply",
    );
    refused(&fixture, &format!("SELECT CAST(NULL AS INT{})", "[]".repeat(20_000)), "nested too deeply");
}

#[test]
fn a_plan_has_so_many_steps_tables_and_expressions_as_often_as_they_are_named() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 3);
    let twice = |levels| chain("SELECT 1 AS n", "SELECT a.n FROM {} a, {} b", levels, "SELECT count(*) FROM {}");
    assert_eq!(fixture.rows(&[], &twice(5), Vec::new()).unwrap()[0][0], 1);
    for levels in [8, 30, 300] {
        refused(&fixture, &twice(levels), "more than 128 tables");
    }
    let written_out = |levels| {
        let end = "SELECT count(*) FROM {} WHERE x = 'a'";
        chain("SELECT source AS x FROM points", "SELECT upper(nullif(x, x)) AS x FROM {}", levels, end)
    };
    assert_eq!(fixture.rows(&[user('a')], &written_out(3), Vec::new()).unwrap()[0][0], 0);
    for levels in [16, 100] {
        refused(&fixture, &written_out(levels), "expressions");
    }
    let windows = |levels| {
        let step = "SELECT row_number() OVER (ORDER BY x) AS x FROM {}";
        chain("SELECT value AS x FROM points", step, levels, "SELECT sum(x) FROM {}")
    };
    assert_eq!(fixture.rows(&[user('a')], &windows(20), Vec::new()).unwrap()[0][0], 6);
    refused(&fixture, &windows(400), "steps behind each other");
    let joined = (0..200).map(|nth| format!("latest a{nth}")).collect::<Vec<_>>().join(",");
    refused(&fixture, &format!("SELECT count(*) FROM {joined}"), "more than 128 tables");
    let nested = "value IN (SELECT value FROM latest)";
    refused(
        &fixture,
        &format!("SELECT 1 FROM points WHERE {}", vec![nested; 150].join(" AND ")),
        "more than 128 tables",
    );
    let cube = (0..20).map(|nth| format!("value+{nth}")).collect::<Vec<_>>().join(",");
    refused(&fixture, &format!("SELECT count(*) FROM points GROUP BY CUBE ({cube})"), "256 grouping sets");
    refused(
        &fixture,
        "SELECT 1 FROM points GROUP BY CUBE (value, unit, source, metric, user_id), ROLLUP (value+1,value+2,value+3,value+4,value+5,value+6,value+7,value+8)",
        "256 grouping sets",
    );
}

#[test]
fn no_text_is_made_of_texts_without_end() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 30);
    let long = || vec![Param::from("a".repeat(1_000_000))];
    let grown = |step: &str, levels| {
        let step = format!("SELECT {step} AS x FROM {{}}");
        let base = format!("SELECT concat(source, '{}') AS x FROM points", "a".repeat(3_000));
        chain(&base, &step, levels, "SELECT max(octet_length(x)) FROM {}")
    };
    let eight = fixture.rows(&[user('a')], &grown("concat(x, x)", 3), Vec::new()).unwrap();
    assert_eq!(eight[0][0], 8 * 3_001);
    for step in
        ["concat(x, x, x, x)", "x || x || x || x", "concat_ws('-', x, x, x, x)", "array_to_string([x, x, x, x], '-')"]
    {
        memory(&fixture, &grown(step, 6), Vec::new());
    }
    for step in ["encode(x, 'hex')", "regexp_replace(x, '.', '01234567', 'g')", "to_char(now(), x)"] {
        memory(&fixture, &grown(step, 12), Vec::new());
    }
    memory(&fixture, "SELECT octet_length(regexp_replace($1, '.', $1, 'g'))", long());
    memory(&fixture, &format!("SELECT octet_length(concat({}))", vec!["$1"; 100].join(",")), long());
    let named = vec!["$1"; 10_000].join(",");
    memory(&fixture, &format!("SELECT octet_length(concat({named}))"), long());
    memory(&fixture, &format!("SELECT count(*) FROM points WHERE source IN ({named})"), long());
    let columns = (0..100).map(|nth| format!("$1 AS c{nth}")).collect::<Vec<_>>().join(",");
    memory(&fixture, &format!("SELECT {columns} FROM points"), long());
    for sql in ["SELECT levenshtein('a', 'b')", "SELECT arrow_cast(NULL, 'Int8')", "SELECT array_resize([1], 9)"] {
        refused(&fixture, sql, "Invalid function");
    }
    for sql in ["SELECT CAST(NULL AS INT[1000000000]) FROM points", "SELECT CAST([1] AS INT[2])"] {
        refused(&fixture, sql, "fixed size");
    }
}

#[test]
fn no_type_is_made_of_types_without_end() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 3);
    for step in ["struct(x, x)", "{'a': x, 'b': x}", "(x, x)", "MAP {'a': x}", "CASE WHEN true THEN (x, x) END"] {
        let step = format!("SELECT {step} AS x FROM {{}}");
        refused(
            &fixture,
            &chain("SELECT value AS x FROM points", &step, 60, "SELECT count(*) FROM {}"),
            "not supported",
        );
    }
    refused(&fixture, "SELECT [1, 2] @> [1]", "'array_has_all' is not supported");
    let pairs = "SELECT count(*), count(DISTINCT (metric, unit)) FROM points \
                 WHERE (metric, unit) IN (('heart_rate', 'bpm'), ('hrv', 'ms')) AND (metric, unit) = ('heart_rate', 'bpm')";
    assert_eq!(fixture.rows(&[user('a')], pairs, Vec::new()).unwrap()[0], serde_json::json!([3, 1]));
}

/// One million bytes in each of 8,192 rows are made a few rows at a time, whatever hands on whole partitions.
#[test]
fn a_long_text_beside_each_row_is_made_a_few_rows_at_a_time() {
    let fixture = Fixture::with(|config| config.query_memory_bytes = 16 << 20);
    fixture.hours(user('a'), "heart_rate", 300);
    let text = Param::from("a".repeat(300_000));
    for sql in [
        "SELECT sum(octet_length(concat($1, source))) FROM points",
        "SELECT sum(octet_length(concat($1, n))) FROM (SELECT sum(value) OVER () AS n FROM points) t",
        "SELECT sum(octet_length(concat($1, a.source))) FROM points a, (SELECT value FROM points LIMIT 1) b",
    ] {
        let plan = fixture.explained_with(&[user('a')], sql, vec![text.clone()]);
        let rows: BTreeSet<&str> = plan.split("NarrowExec: rows=").skip(1).map(|rest| &rest[..1]).collect();
        assert_eq!(rows, BTreeSet::from(["3"]));
        let rows = fixture.rows(&[user('a')], sql, vec![text.clone()]).unwrap();
        assert!(rows[0][0].as_i64().unwrap() >= 300 * 300_001, "{rows}");
    }
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 300);
    let plan = fixture.explained(&[user('a')], "SELECT concat(source, metric), value FROM points");
    assert!(!plan.contains("NarrowExec"), "{plan}");
}

/// A window makes what it makes of all of its rows at once.
#[test]
fn what_a_window_makes_of_each_row_is_counted() {
    let fixture = Fixture::with(|config| config.query_memory_bytes = 16 << 20);
    fixture.hours(user('a'), "heart_rate", 5_000);
    let long =
        |letters| format!("SELECT max(octet_length(concat('{}', source))) OVER () FROM points", "a".repeat(letters));
    assert_eq!(fixture.rows(&[user('a')], &long(100), Vec::new()).unwrap().as_array().unwrap().len(), 5_000);
    memory(&fixture, &long(2_000), Vec::new());
    let short =
        "SELECT value, sum(value) OVER (), lag(source) OVER (PARTITION BY unit ORDER BY recorded_at) FROM points";
    let plan = fixture.explained(&[user('a')], short);
    assert!(plan.contains("HoldExec") && !plan.contains("HoldExec: "), "{plan}");
    assert_eq!(fixture.rows(&[user('a')], short, Vec::new()).unwrap().as_array().unwrap().len(), 5_000);
}

#[test]
fn a_list_of_many_rows_has_a_bound_of_its_own() {
    let fixture = Fixture::with(|config| config.query_memory_bytes = 16 << 20);
    fixture.hours(user('a'), "heart_rate", 300);
    let rows = |sql: &str| fixture.rows(&[user('a')], sql, Vec::new()).unwrap();
    assert_eq!(rows("SELECT cardinality(array_agg(value)) FROM points")[0][0], 300);
    assert_eq!(rows("SELECT octet_length(string_agg(source, '-')) FROM points")[0][0], 599);
    assert_eq!(
        rows("SELECT count(v) FROM (SELECT metric, unnest(array_agg(value)) AS v FROM points GROUP BY metric) t")[0][0],
        300
    );
    let beside = rows("SELECT p.value, l.n FROM points p, (SELECT array_agg(value) AS n FROM points) l");
    assert_eq!((beside.as_array().unwrap().len(), beside[299][1].as_array().unwrap().len()), (300, 300));
    let many = "(SELECT array_agg(a.value) AS x FROM points a, points b) t";
    memory(&fixture, &format!("SELECT cardinality(x) FROM {many}"), Vec::new());
    memory(&fixture, "SELECT octet_length(string_agg(a.metric, '-')) FROM points a, points b", Vec::new());
    memory(
        &fixture,
        "SELECT concat(x, x, x, x, x, x, x, x, x) FROM (SELECT string_agg(source, '-') AS x FROM points) t",
        Vec::new(),
    );
    refused(&fixture, "SELECT array_agg(value) OVER (ORDER BY value) FROM points", "with OVER");
    let wide = "SELECT unnest(l), t FROM (SELECT array_agg(value) AS l, concat($1, max(source)) AS t FROM points) t";
    memory(&fixture, wide, vec![Param::from("a".repeat(100_000))]);
}

#[test]
fn a_pattern_that_is_too_large_is_the_statement_s_fault_however_it_is_asked_for() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 3);
    let pattern = "'a{1000}{1000}{1000}'";
    for sql in [
        format!("SELECT regexp_like(source, {pattern}) FROM points"),
        format!("SELECT source ~ {pattern} FROM points"),
        format!("SELECT 1 FROM points WHERE metric SIMILAR TO {pattern}"),
    ] {
        refused(&fixture, &sql, "did not compile");
    }
}
