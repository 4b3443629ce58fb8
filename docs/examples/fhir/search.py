"""Finds a patient's heart rates and reads them page by page. Wants nothing but Python.

    URL=http://127.0.0.1:8080 KEY=avk_… python3 search.py [PATIENT]

PATIENT is a Patient's id, such as usr-7jRtHvBk; without it the key's owner's own data are read.
"""

import json
import os
import sys
import urllib.parse
import urllib.request

BASE = os.environ["URL"] + "/fhir/R4"


def fetch(url: str) -> dict:
    """Reads one resource, or one page."""
    headers = {"X-API-Key": os.environ["KEY"], "Accept": "application/fhir+json"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return json.load(response)


def pages(resource_type: str, **parameters: object):
    """Every page of a search. The address of the next one comes with each: never put it together yourself."""
    url = f"{BASE}/{resource_type}?{urllib.parse.urlencode(parameters, doseq=True)}"
    while url:
        bundle = fetch(url)
        yield bundle
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next")


def main() -> None:
    whose = {"patient": sys.argv[1]} if len(sys.argv) > 1 else {}
    count = 0
    observations = []
    for bundle in pages("Observation", code="http://loinc.org|8867-4", _count=100, **whose):
        count += 1
        # What is included beside the matches says so.
        observations += [entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]
    print(f"{len(observations)} heart rates on {count} pages")
    for observation in observations[:3]:
        value = observation["valueQuantity"]
        print(observation["effectiveDateTime"], value["value"], value["code"], observation["status"])


main()
