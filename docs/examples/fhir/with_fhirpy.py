"""The same with fhirpy: searches, pages, reads.

    URL=http://127.0.0.1:8080 KEY=avk_… python3 with_fhirpy.py PATIENT
"""

import os
import sys

from fhirpy import SyncFHIRClient

client = SyncFHIRClient(os.environ["URL"] + "/fhir/R4", extra_headers={"X-API-Key": os.environ["KEY"]})
patient = client.reference("Patient", sys.argv[1]).to_resource()
print(patient["name"][0]["text"])

# Iterating follows the links from page to page.
search = client.resources("Observation").search(patient=patient.id, code="http://loinc.org|8867-4").limit(20)
observations = list(search)
print(len(observations), "heart rates")

newest = search.first()
again = client.reference("Observation", newest.id).to_resource()
print(again["effectiveDateTime"], again.get_by_path(["valueQuantity", "value"]), again == newest)
