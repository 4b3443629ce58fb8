"""Makes the export of a Garmin account, and prints what it must give, as rows of JSON.

Its JSON is real: answers of Garmin Connect that `garth` publishes with its own tests (MIT licence), taken from the package
registry by name and version; entries of the export have the same fields. Archives inside are streamed, as Garmin's are.

    export.py EXPORT.zip FIT…
"""

import datetime
import io
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import yaml

GARTH = "garth-0.8.0"
EPOCH = datetime.datetime(1970, 1, 1)


class Pipe(io.RawIOBase):
    """Where nothing can be gone back to, so that sizes are written behind each part."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, part):
        self.bytes += part
        return len(part)


def streamed(parts):
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return bytes(pipe.bytes)


def fetch(folder):
    package = folder / f"{GARTH}.tar.gz"
    if not package.exists():
        wish = ["--no-deps", "--no-binary", "garth", GARTH.replace("-", "=="), "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", *wish], check=True)
    return package


def answers(package, name):
    """The JSON bodies of a recorded exchange."""
    with tarfile.open(package) as archive:
        text = archive.extractfile(f"{GARTH}/tests/data/cassettes/{name}.yaml").read()
    for exchange in yaml.safe_load(text)["interactions"]:
        try:
            yield exchange["request"]["uri"], json.loads(exchange["response"]["body"]["string"])
        except (KeyError, ValueError, TypeError):
            continue


def micros(text):
    return (datetime.datetime.fromisoformat(text.rstrip("0").rstrip(".")) - EPOCH) // datetime.timedelta(microseconds=1)


def main():
    export = Path(sys.argv[1])
    package = fetch(export.parent.parent)
    rows, nights, days, health = [], [], [], []
    for name in ("test_sleep_data_get", "test_daily_sleep_data_get", "test_sleep_data_list", "test_daily_sleep_data_list"):
        for _, answer in answers(package, name):
            sleep = answer.get("dailySleepDTO") if isinstance(answer, dict) else None
            if not sleep or sleep["calendarDate"] in [night["calendarDate"] for night in nights]:
                continue
            nights.append(sleep)
            deep, light, rem = (sleep[f"{stage}SleepSeconds"] for stage in ("deep", "light", "rem"))
            if deep is None:
                continue
            end = sleep["sleepEndTimestampGMT"] * 1_000
            rows.append(["sample", "sleep_duration", (deep + light + rem) / 3600, end, None])
            rows.append(["sample", "sleep_deep", deep / 3600, end, None])
            rows.append(["sample", "sleep_rem", rem / 3600, end, None])
    for name in ("test_daily_summary_get", "test_daily_summary_list"):
        for uri, day in answers(package, name):
            if "usersummary" not in uri or day["calendarDate"] in [day["calendarDate"] for day in days]:
                continue
            days.append(day)
            start = micros(day["wellnessStartTimeGmt"])
            rows.append(["total", "steps", day["totalSteps"], start])
            rows.append(["total", "calories", day["activeKilocalories"] + day["bmrKilocalories"], start])
    # No recorded sleep is of the night whose variability was recorded: it is filed under one that is.
    night = nights[0]
    for _, answer in answers(package, "test_hrv_data_get"):
        if "hrvSummary" in answer:
            summary = answer["hrvSummary"]
            status = {"type": "HRV", "value": summary["lastNightAvg"], "status": summary["status"]}
            health.append({"calendarDate": night["calendarDate"], "metrics": [status, {"type": "HR", "value": 50.0}]})
            rows.append(["sample", "hrv", summary["lastNightAvg"], night["sleepEndTimestampGMT"] * 1_000, None])
    uploaded = streamed((Path(path).name, Path(path).read_bytes()) for path in sys.argv[2:])
    wellness = "DI_CONNECT/DI-Connect-Wellness/2023-01-01_2026-02-01_2591602"
    parts = [
        ("DI_CONNECT/DI-Connect-Uploaded-Files/UploadedFiles_0-_Part1.zip", uploaded),
        ("DI_CONNECT/DI-Connect-Aggregator/UDSFile_2023-01-01_2026-02-01.json", json.dumps(days)),
        (f"{wellness}_sleepData.json", json.dumps(nights)),
        (f"{wellness}_healthStatusData.json", json.dumps(health)),
        ("customer_data/customer.json", "{}"),
    ]
    export.write_bytes(streamed(parts))
    # Values as the bits of their doubles.
    rows = [[*row[:2], struct.unpack("<q", struct.pack("<d", row[2]))[0], *row[3:]] for row in rows]
    print(json.dumps({"rows": rows, "nights": len(nights), "days": len(days)}))


main()
