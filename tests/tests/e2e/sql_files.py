"""Reads a data directory's Parquet files with DuckDB, as they lie and as `avycenna files` lists them.

    python3 sql_files.py DATA_DIR FILE…
"""

import json
import sys

import duckdb

ROWS = "SELECT metric, user_id, epoch_us(recorded_at), value, source FROM {} ORDER BY ALL"


def main() -> None:
    folder, files = sys.argv[1], sys.argv[2:]
    lying = duckdb.execute(
        ROWS.format("read_parquet(?, hive_partitioning = true)"), [folder + "/points/**/*.parquet"]
    ).fetchall()
    listed = duckdb.execute(ROWS.format("read_parquet(?, hive_partitioning = true)"), [files]).fetchall()
    print(json.dumps({"lying": lying, "listed": listed}))


if __name__ == "__main__":
    main()
