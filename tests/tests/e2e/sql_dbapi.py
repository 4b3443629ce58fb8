"""The way of Superset and other tools of SQLAlchemy: `flightsql-dbapi`, over pyarrow's Flight. What they find, as JSON.

    FLIGHT=grpc://… KEY=avk_… python3 sql_dbapi.py
"""

import json
import os
import urllib.parse

import flightsql
import flightsql.flightsql_pb2 as wire
import flightsql.sqlalchemy
import pyarrow
import sqlalchemy
from flightsql.client import TableRef

KEY = os.environ["KEY"]
ADDRESS = urllib.parse.urlsplit(os.environ["FLIGHT"])
COUNT = "SELECT metric, count(*) AS n FROM points GROUP BY metric"


def client(**credential) -> flightsql.FlightSQLClient:
    return flightsql.FlightSQLClient(host=ADDRESS.hostname, port=ADDRESS.port, insecure=True, **credential)


def rows(server: flightsql.FlightSQLClient, info) -> list:
    found = []
    for endpoint in info.endpoints:
        found.extend(server.do_get(endpoint.ticket).read_all().to_pylist())
    return found


def main() -> None:
    found = {}
    by_token = client(token=KEY)
    found["rows"] = rows(by_token, by_token.execute(COUNT))
    found["catalogs"] = [row["catalog_name"] for row in rows(by_token, by_token.get_catalogs())]
    found["schemas"] = [row["db_schema_name"] for row in rows(by_token, by_token.get_db_schemas())]
    found["types"] = [row["table_type"] for row in rows(by_token, by_token.get_table_types())]
    found["like"] = [row["table_name"] for row in rows(by_token, by_token.get_tables(table_name_filter_pattern="%t%s"))]
    found["info"] = len(rows(by_token, by_token.get_sql_info([wire.FLIGHT_SQL_SERVER_NAME, wire.FLIGHT_SQL_SERVER_READ_ONLY])))
    found["keys"] = [row["column_name"] for row in rows(by_token, by_token.get_primary_keys(TableRef(table="latest")))]
    found["imported"] = rows(by_token, by_token.get_imported_keys(TableRef(table="points")))
    found["exported"] = rows(by_token, by_token.get_exported_keys(TableRef(table="points")))
    found["xdbc"] = sorted(row["type_name"] for row in rows(by_token, by_token.get_xdbc_type_info(None)))
    with by_token.prepare("SELECT unit FROM metrics WHERE metric = $1") as statement:
        found["prepared"] = rows(by_token, statement.execute(pyarrow.record_batch([pyarrow.array(["hrv"])], names=["$1"])))
    by_password = flightsql.connect(client(user="anybody", password=KEY))
    with by_password.cursor() as cursor:
        cursor.execute(COUNT)
        found["fetched"] = [list(row) for row in cursor.fetchall()]
        found["described"] = [column[0] for column in cursor.description]
    for mode in ["off", "on"]:
        address = f"datafusion+flightsql://{ADDRESS.netloc}?insecure=true&token={KEY}"
        engine = sqlalchemy.create_engine(f"{address}&feature-sqlalchemy-prepared-statements={mode}&feature-sqlalchemy-primary-keys=on")
        with engine.connect() as connection:
            inspector = sqlalchemy.inspect(engine)
            reflected = {
                "tables": inspector.get_table_names(),
                "columns": {column["name"]: str(column["type"]) for column in inspector.get_columns("points")},
                "key": inspector.get_pk_constraint("metrics"),
            }
            points = sqlalchemy.table("points", sqlalchemy.column("metric"), sqlalchemy.column("value"))
            query = sqlalchemy.select([sqlalchemy.func.count()]).select_from(points)
            reflected["count"] = connection.execute(query).scalar()
            found[f"sqlalchemy_{mode}"] = reflected
    print(json.dumps(found))


if __name__ == "__main__":
    main()
