"""Prints the points of an unpacked export as pandas reads them, then as DuckDB does: two JSON lists of rows.

A row is [metric, value as the bits of its double, unit, microseconds since 1970, source, device or null].
"""

import json
import struct
import sys
from pathlib import Path

import duckdb
import pandas


def bits(value: float) -> int:
    return struct.unpack("<q", struct.pack("<d", value))[0]


folder = Path(sys.argv[1]) / "points"
rows = []
for file in sorted(folder.glob("*.parquet")):
    points = pandas.read_parquet(file)
    assert str(points["recorded_at"].dt.tz) == "UTC", points.dtypes
    micros = points["recorded_at"].dt.as_unit("us").astype("int64")
    devices = [None if pandas.isna(device) else device for device in points["source_device_id"]]
    columns = (points["metric"], map(bits, points["value"]), points["unit"], map(int, micros), points["source"], devices)
    rows += [list(row) for row in zip(*columns, strict=True)]
print(json.dumps(rows))

query = """
    SELECT metric, value, unit, epoch_us(recorded_at), source, source_device_id FROM read_parquet(?)
    ORDER BY metric, recorded_at, source, source_device_id NULLS FIRST
"""
found = duckdb.execute(query, [str(folder / "*.parquet")]).fetchall()
print(json.dumps([[row[0], bits(row[1]), *row[2:]] for row in found]))
