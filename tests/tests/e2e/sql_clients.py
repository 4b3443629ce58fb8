"""Real clients of Flight SQL, against a server of the tests: what they read, as JSON.

    FLIGHT=grpc://… KEY=avk_… python3 sql_clients.py
"""

import datetime
import json
import os

import adbc_driver_flightsql.dbapi as flight
import adbc_driver_manager
import polars

KEY = os.environ["KEY"]
ORDERED = "SELECT metric, recorded_at, value FROM points ORDER BY recorded_at, metric"


def connect(**options: str):
    return flight.connect(os.environ["FLIGHT"], db_kwargs=options)


def rows(frame) -> list:
    """Of pandas or polars: metric, microseconds, value."""
    records = frame.to_dict("records") if hasattr(frame, "to_dict") and not isinstance(frame, polars.DataFrame) else frame.to_dicts()
    return [[r["metric"], round(r["recorded_at"].timestamp() * 1_000_000), r["value"]] for r in records]


def main() -> None:
    found = {}
    with connect(**{"adbc.flight.sql.rpc.call_header.x-api-key": KEY}) as server:
        with server.cursor() as cursor:
            found["pandas"] = rows(cursor.execute(ORDERED).fetch_df())
        with server.cursor() as cursor:
            since = datetime.datetime(2026, 6, 2, tzinfo=datetime.timezone.utc)
            cursor.execute("SELECT count(*) FROM points WHERE recorded_at >= ? AND metric = ?", (since, "heart_rate"))
            found["prepared"] = cursor.fetchone()[0]
        found["polars"] = rows(polars.read_database(ORDERED, server))
        tables = server.adbc_get_objects(depth="columns").read_all().to_pylist()
        schema = tables[0]["catalog_db_schemas"][0]
        found["tables"] = {t["table_name"]: len(t["table_columns"]) for t in schema["db_schema_tables"]}
        found["server"] = server.adbc_get_info()["vendor_name"]
        with server.cursor() as cursor:
            try:
                cursor.execute("SELECT valu FROM points")
            except adbc_driver_manager.Error as error:
                found["refused"] = str(error)
    with connect(username="anybody", password=KEY) as server, server.cursor() as cursor:
        found["by_password"] = cursor.execute("SELECT count(*) FROM points").fetchone()[0]
    try:
        with connect(username="anybody", password="avk_wrong") as server, server.cursor() as cursor:
            cursor.execute("SELECT 1")
    except adbc_driver_manager.Error as error:
        found["unauthenticated"] = type(error).__name__
    print(json.dumps(found))


if __name__ == "__main__":
    main()
