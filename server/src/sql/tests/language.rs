//! What a statement may say.

use super::*;

/// Of the refusal of whatever is no query.
const ONLY_READS: &str = "only reads";

/// Statements that do more than read, or read what is no table here; and a word of the refusal of each.
const REFUSED: [(&str, &str); 33] = [
    ("INSERT INTO points SELECT * FROM points", ONLY_READS),
    ("INSERT INTO latest SELECT * FROM latest", ONLY_READS),
    ("UPDATE points SET value = 1", ONLY_READS),
    ("DELETE FROM points", ONLY_READS),
    ("TRUNCATE points", ONLY_READS),
    ("COPY points TO 'DIR/points.parquet'", ONLY_READS),
    ("COPY points TO 'DIR/points.csv' STORED AS CSV", ONLY_READS),
    ("COPY (SELECT * FROM points) TO 'DIR/points.json' STORED AS JSON", ONLY_READS),
    ("EXPLAIN COPY points TO 'DIR/points.parquet'", ONLY_READS),
    ("EXPLAIN ANALYZE COPY points TO 'DIR/points.parquet'", ONLY_READS),
    ("EXPLAIN INSERT INTO points SELECT * FROM points", ONLY_READS),
    ("EXPLAIN ANALYZE INSERT INTO points SELECT * FROM points", ONLY_READS),
    ("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/passwd'", ONLY_READS),
    ("CREATE TABLE x AS SELECT 1", ONLY_READS),
    ("CREATE VIEW x AS SELECT * FROM points", ONLY_READS),
    ("CREATE SCHEMA x", ONLY_READS),
    ("CREATE FUNCTION f(double) RETURNS double RETURN $1", ONLY_READS),
    ("DROP TABLE points", ONLY_READS),
    ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", ONLY_READS),
    ("SET datafusion.execution.batch_size = 1", ONLY_READS),
    ("RESET datafusion.execution.batch_size", ONLY_READS),
    ("SHOW datafusion.execution.batch_size", ONLY_READS),
    ("PREPARE p AS SELECT 1", ONLY_READS),
    ("EXECUTE p", ONLY_READS),
    ("BEGIN", ONLY_READS),
    ("SELECT 1; SELECT 2", "a single SQL statement"),
    ("SELECT value FROM points; DROP TABLE points", "a single SQL statement"),
    ("SELECT * FROM generate_series(1, 9)", "generate_series"),
    ("SELECT * FROM metrics WHERE max > (SELECT max(value) FROM range(1, 9))", "range"),
    ("WITH x AS (SELECT * FROM read_parquet('/')) SELECT * FROM x", "read_parquet"),
    ("WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x", "ecursive"),
    ("SELECT repeat('x', 1000000000)", "repeat"),
    (" ", "must be a statement"),
];

#[tokio::test]
async fn a_read_only_language_is_all_there_is() {
    let clinic = Clinic::new().await;
    let folder = tempfile::tempdir().unwrap();
    for (sql, word) in REFUSED {
        let sql = sql.replace("DIR", folder.path().to_str().unwrap());
        let (status, answer) = clinic.query(&clinic.ada.key, &sql).await;
        assert_eq!(status, 422, "{sql}: {answer}");
        assert_eq!(places(&answer)[0][1], json!("sql"), "{sql}: {answer}");
        assert!(answer["detail"][0]["msg"].as_str().unwrap().contains(word), "{sql}: {answer}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "and nothing was written");
    // The session keeps nothing of one statement for the next.
    assert_eq!(clinic.rows(&clinic.ada.key, "SELECT count(*) FROM points").await, json!([[2]]));
}
