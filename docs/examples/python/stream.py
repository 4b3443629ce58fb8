"""Sends a DataFrame of many points as one Arrow stream, and goes on where a broken one ended.

    URL=http://127.0.0.1:8080 KEY=avk_… python stream.py

Needs pyarrow and polars; HTTP is the standard library's. A pipeline that writes for its patients adds a column `user_id`.
"""

import datetime
import http.client
import json
import os
import threading
import urllib.parse

import polars
import pyarrow

ROWS_A_BATCH = 8_192


class Sink:
    """What pyarrow writes to: pieces of a chunked request body."""

    closed = False

    def __init__(self, connection):
        self.connection = connection

    def write(self, data):
        """Sends one chunk."""
        data = bytes(data)
        if data:
            self.connection.send(b"%x\r\n%b\r\n" % (len(data), data))
        return len(data)

    def flush(self):
        """There is nothing to flush."""


def stream(table):
    """Sends a table. Answers how many of its rows are durable, and the last line of the answer if one came."""
    url = urllib.parse.urlsplit(os.environ["URL"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=120)
    connection.putrequest("POST", "/api/v1/wearables/stream")
    connection.putheader("X-API-Key", os.environ["KEY"])
    connection.putheader("Content-Type", "application/vnd.apache.arrow.stream")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    durable, last = 0, None

    def read():
        nonlocal durable, last
        answer = connection.getresponse()
        if answer.status != 200:
            last = json.load(answer)
            return
        for line in answer:
            last = json.loads(line)
            durable = last.get("acked_through", durable)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with pyarrow.ipc.new_stream(pyarrow.PythonFile(Sink(connection), "w"), table.schema) as writer:
            writer.write_table(table, max_chunksize=ROWS_A_BATCH)
        connection.send(b"0\r\n\r\n")
    except OSError:
        # The answer, if one came, says why.
        pass
    reader.join()
    connection.close()
    return durable, last


def night():
    """Twelve hours of one heart rate a second."""
    end = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    times = polars.datetime_range(end - datetime.timedelta(hours=12), end, "1s", closed="left", time_zone="UTC", eager=True)
    return polars.DataFrame({"recorded_at": times}).with_columns(
        metric=polars.lit("heart_rate"),
        value=60.0 + (polars.int_range(polars.len()) % 40),
        unit=polars.lit("bpm"),
        source=polars.lit("stream.py"),
    )


def main():
    """Sends a night; what is sent twice changes nothing, so that going on is always safe."""
    table = night().to_arrow()
    sent = 0
    for _ in range(5):
        durable, last = stream(table.slice(sent))
        sent += durable
        if last and last.get("done"):
            break
        if last and ("detail" in last or "line" in last.get("stopped", {})):
            raise SystemExit(f"refused behind row {sent}: {last}")
    print(f"{sent} of {table.num_rows} points are durable")


if __name__ == "__main__":
    main()
