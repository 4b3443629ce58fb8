"""Daily averages of a metric by SQL over HTTP, as a DataFrame.

    URL=http://127.0.0.1:8080 KEY=avk_… python3 sql.py [METRIC] [TIME ZONE]

Wants what requirements.txt lists.
"""

import json
import os
import sys
import urllib.error
import urllib.request

import pandas
import pyarrow

DAILY = """
SELECT local_day(recorded_at, $2) AS day, avg(value) AS mean, count(*) AS n
FROM points WHERE metric = $1 GROUP BY day ORDER BY day
"""


def query(sql: str, *params: object) -> pandas.DataFrame:
    """Asks the server; the answer comes as an Arrow stream."""
    request = urllib.request.Request(
        os.environ["URL"] + "/api/v1/query",
        data=json.dumps({"sql": sql, "params": params, "format": "arrow"}).encode(),
        headers={"X-API-Key": os.environ["KEY"], "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return pyarrow.ipc.open_stream(response).read_pandas()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode()}")


def main() -> None:
    metric, zone = (sys.argv[1:] + ["heart_rate", "UTC"][len(sys.argv) - 1 :])[:2]
    days = query(DAILY, metric, zone)
    for day in days.itertuples():
        print(f"{day.day} {day.mean:.2f} {day.n}")


if __name__ == "__main__":
    main()
