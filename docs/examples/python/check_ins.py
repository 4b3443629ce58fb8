"""Prints the averages of each patient who has let a doctor in.

    URL=http://127.0.0.1:8080 KEY=avk_… python check_ins.py

KEY is the doctor's. Needs nothing but the standard library.
"""

import json
import os
import urllib.error
import urllib.request

DAYS = 30


class ApiError(Exception):
    """A status that is not 2xx, and what the server says about it."""


def get(path):
    """The answer to a GET, as JSON."""
    url = os.environ["URL"].rstrip("/") + "/api/v1" + path
    request = urllib.request.Request(url, headers={"X-API-Key": os.environ["KEY"]})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            detail = json.load(error)["detail"]
        except (ValueError, KeyError):
            detail = error.reason
        raise ApiError(f"{error.code}: {detail}") from None


def shown(average):
    """An average with one decimal; a dash where nothing was said."""
    return "-" if average is None else f"{average:.1f}"


def main():
    """One line for each patient."""
    grants = get("/grants/outgoing")["grants"]
    if not grants:
        print("nobody has let you in yet")
    for grant in grants:
        summary = get(f"/grants/patient/{grant['patient_id']}/check-ins?days={DAYS}")["summary"]
        print(
            f"{grant['patient_name']}: mood {shown(summary['avg_mood'])}, energy {shown(summary['avg_energy'])}, "
            f"sleep {shown(summary['avg_sleep_hours'])} h, {summary['total_check_ins']} check-ins"
        )


if __name__ == "__main__":
    main()
