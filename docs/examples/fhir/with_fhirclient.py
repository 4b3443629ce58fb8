"""The same with fhirclient, of the SMART project: searches, pages, reads.

    URL=http://127.0.0.1:8080 KEY=avk_… python3 with_fhirclient.py PATIENT
"""

import os
import sys

from fhirclient import server
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient

smart = server.FHIRServer(None, base_uri=os.environ["URL"] + "/fhir/R4")
smart.session.headers["X-API-Key"] = os.environ["KEY"]

patient = Patient.read(sys.argv[1], smart)
print(patient.name[0].text)

search = Observation.where({"patient": patient.id, "code": "http://loinc.org|8867-4", "_count": "20"})
# Each resource of every page; the models refuse what is not FHIR.
observations = list(search.perform_resources_iter(smart))
print(len(observations), "heart rates")

newest = observations[0]
again = Observation.read(newest.id, smart)
print(again.effectiveDateTime.as_json(), again.valueQuantity.value, again.as_json() == newest.as_json())
