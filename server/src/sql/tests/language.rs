//! What a statement may say.

use super::*;

/// Statements that do more than read, or read what is no table here; and a word of the refusal of each.
const REFUSED: [(&str, &str); 33] = [
    ("INSERT INTO points SELECT * FROM points", "DML not supported"),
    ("INSERT INTO latest SELECT * FROM latest", "DML not supported"),
    ("UPDATE points SET value = 1", "DML not supported"),
    ("DELETE FROM points", "DML not supported"),
    ("TRUNCATE points", "DML not supported"),
    ("COPY points TO 'DIR/points.parquet'", "no registered file format"),
    ("COPY points TO 'DIR/points.csv' STORED AS CSV", "no registered file format"),
    ("COPY (SELECT * FROM points) TO 'DIR/points.json' STORED AS JSON", "no registered file format"),
    ("EXPLAIN COPY points TO 'DIR/points.parquet'", "no registered file format"),
    ("EXPLAIN ANALYZE COPY points TO 'DIR/points.parquet'", "no registered file format"),
    ("EXPLAIN INSERT INTO points SELECT * FROM points", "DML not supported"),
    ("EXPLAIN ANALYZE INSERT INTO points SELECT * FROM points", "DML not supported"),
    ("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/passwd'", "DDL not supported"),
    ("CREATE TABLE x AS SELECT 1", "DDL not supported"),
    ("CREATE VIEW x AS SELECT * FROM points", "DDL not supported"),
    ("CREATE SCHEMA x", "DDL not supported"),
    ("CREATE FUNCTION f(double) RETURNS double RETURN $1", "DDL not supported"),
    ("DROP TABLE points", "DDL not supported"),
    ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", "DDL not supported"),
    ("SET datafusion.execution.batch_size = 1", "Statement not supported"),
    ("RESET datafusion.execution.batch_size", "Statement not supported"),
    ("SHOW datafusion.execution.batch_size", "information_schema"),
    ("PREPARE p AS SELECT 1", "Statement not supported"),
    ("EXECUTE p", "Statement not supported"),
    ("BEGIN", "Unsupported SQL"),
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
