"""Sends the measurements of Garmin FIT files to an avycenna server.

    pip install -r requirements.txt
    URL=http://127.0.0.1:8080 KEY=avk_… python fit_pipeline.py ride.fit run.fit

Sending a file again is safe: a point's identity is its person, metric, time, source and device, and the same
identity replaces itself. So every request may be repeated until it is answered, and this program may be stopped and
started again at any time.

What is read, and what is not:
  record.heart_rate                  heart_rate; 0 means that the sensor saw nothing, and is left out
  record.enhanced_respiration_rate   respiratory_rate; 0 likewise
  session.total_calories             calories_sample: a piece of a day, not the day's total
  record.temperature                 nothing: it is the air's temperature, not the body's
"""

import collections
import json
import os
import sys
import time
import urllib.error
import urllib.request

import fitdecode

BODY_POINTS_MAX = 500  # the server's limit for one body
TRIES_MAX = 8
RETRY_STATUSES = {408, 429, 500, 502, 503, 504, 507}


def points_of(path):
    """Yields the points of one FIT file in the order of the file."""
    device = None
    with fitdecode.FitReader(path) as reader:
        for frame in reader:
            if frame.frame_type != fitdecode.FIT_FRAME_DATA:
                continue
            value = {field.name: field.value for field in frame.fields}
            if frame.name == "file_id" and value.get("serial_number"):
                device = f"{value.get('manufacturer') or 'unknown'}-{value['serial_number']}"
            elif frame.name == "record" and value.get("timestamp"):
                if value.get("heart_rate"):
                    yield point("heart_rate", value["heart_rate"], "bpm", value["timestamp"], device)
                if value.get("enhanced_respiration_rate"):
                    breaths = value["enhanced_respiration_rate"]
                    yield point("respiratory_rate", breaths, "breaths/min", value["timestamp"], device)
            elif frame.name == "session" and value.get("start_time") and value.get("total_calories"):
                yield point("calories_sample", value["total_calories"], "kcal", value["start_time"], device)


def point(metric, value, unit, at, device):
    """One point as the API takes it. FIT times are UTC, to the second."""
    recorded_at = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    made = {"metric": metric, "value": value, "unit": unit, "recorded_at": recorded_at, "source": "garmin-fit"}
    if device:
        made["source_device_id"] = device
    return made


def send(url, key, points):
    """Sends one body, again and again while the fault may pass by itself."""
    body = json.dumps({"data_points": points}).encode()
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    for attempt in range(1, TRIES_MAX + 1):
        pause = min(2 ** (attempt - 1), 30)
        try:
            request = urllib.request.Request(f"{url}/api/v1/wearables/bulk-ingest", body, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["ingested"]
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")
            if error.code not in RETRY_STATUSES:
                sys.exit(f"the server refused the points: {error.code} {detail}")
            reason = f"{error.code} {detail}"
            if (error.headers.get("Retry-After") or "").isdigit():
                pause = int(error.headers["Retry-After"])
        except OSError as error:  # refused, reset, timed out: nobody knows whether it arrived, so send it again
            reason = str(error)
        if attempt < TRIES_MAX:
            print(f"try {attempt}: {reason}; again in {pause} s", file=sys.stderr)
            time.sleep(pause)
    sys.exit(f"given up after {TRIES_MAX} tries: {reason}")


def main(paths):
    """Sends all files and prints how many points of each metric each of them held."""
    if not paths:
        sys.exit(__doc__)
    url, key = os.environ["URL"].rstrip("/"), os.environ["KEY"]
    for path in paths:
        counts = collections.Counter()
        body = []
        for made in points_of(path):
            counts[made["metric"]] += 1
            body.append(made)
            if len(body) == BODY_POINTS_MAX:
                send(url, key, body)
                body = []
        if body:
            send(url, key, body)
        print(json.dumps({"file": os.path.basename(path), "ingested": counts}))


if __name__ == "__main__":
    main(sys.argv[1:])
