"""Fetches everything that the server has of you, and opens it with pandas and DuckDB.

    URL=http://127.0.0.1:8080 KEY=avk_… python3 export.py [FOLDER]

The files stay in FOLDER if one is named. Wants what requirements.txt lists.
"""

import json
import os
import shutil
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

import duckdb
import pandas


def fetch(folder: Path) -> None:
    """Downloads the archive and unpacks it."""
    request = urllib.request.Request(
        os.environ["URL"] + "/api/v1/export?format=zip-parquet",
        headers={"X-API-Key": os.environ["KEY"]},
    )
    archive = folder / "export.zip"
    # A connection that breaks raises here: what comes out of this block is whole.
    with urllib.request.urlopen(request) as response, archive.open("wb") as file:
        shutil.copyfileobj(response, file)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def show(folder: Path) -> None:
    """Prints what there is."""
    manifest = json.loads((folder / "manifest.json").read_text())
    print(f"exported at {manifest['exported_at']}: {manifest['counts']['check_ins']} check-ins")
    files = sorted((folder / "points").glob("*.parquet"))
    for file in files:
        points = pandas.read_parquet(file)
        unit = points["unit"].iloc[0]
        print(f"{file.stem}: {len(points)} points, {points['value'].mean():.1f} {unit} on average")
    if files:
        query = "SELECT count(*), count(DISTINCT metric), max(recorded_at) FROM read_parquet(?)"
        count, metrics, newest = duckdb.execute(query, [str(folder / "points" / "*.parquet")]).fetchone()
        print(f"{count} points of {metrics} metrics, the newest of {newest:%Y-%m-%d}")


def main() -> None:
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder)
        show(folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            fetch(Path(temporary))
            show(Path(temporary))


if __name__ == "__main__":
    main()
