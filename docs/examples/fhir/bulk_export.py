"""Fetches what all patients of a doctor have granted, by SMART backend services and FHIR Bulk Data.

    python3 bulk_export.py keys                       # makes private.pem and keys.json, once
    avycenna smart client add --owner doc@example.org --name analytics --jwks keys.json

    BASE=https://health.example.org/fhir/R4 CLIENT=smc_… python3 bulk_export.py export [FOLDER] [SINCE]

The files stay in FOLDER if one is named. SINCE is the `transactionTime` of the last export, which this one prints: then
only what has changed comes. Wants what requirements.txt (beside ../python) lists.
"""

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY_FILE = Path(os.environ.get("KEY_FILE", "private.pem"))
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Before a token's end, seconds: the next request takes a new one.
RENEW_S = 30


def make_keys() -> None:
    """Makes a pair of keys: the private one stays here, the public one goes to the server's operator."""
    private = ec.generate_private_key(ec.SECP384R1())
    form = serialization.PrivateFormat.PKCS8
    text = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    with open(os.open(KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    public = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    public |= {"kid": str(uuid.uuid4()), "alg": "ES384", "use": "sig"}
    KEY_FILE.with_name("keys.json").write_text(json.dumps({"keys": [public]}, indent=2))


class Client:
    """Asks with a token, and takes a new one when that is about to end."""

    def __init__(self, base: str, client: str) -> None:
        self.base, self.client = base, client
        self.key = KEY_FILE.read_bytes()
        self.kid = json.loads(KEY_FILE.with_name("keys.json").read_text())["keys"][0]["kid"]
        with urllib.request.urlopen(f"{base}/.well-known/smart-configuration") as answer:
            self.token_url = json.load(answer)["token_endpoint"]
        self.token, self.ends_at = "", 0.0

    def authorization(self) -> str:
        if time.time() > self.ends_at - RENEW_S:
            now = int(time.time())
            claims = {"iss": self.client, "sub": self.client, "aud": self.token_url}
            claims |= {"exp": now + 240, "jti": str(uuid.uuid4())}
            form = {
                "grant_type": "client_credentials",
                "scope": "system/Patient.rs system/Observation.rs",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": jwt.encode(claims, self.key, algorithm="ES384", headers={"kid": self.kid}),
            }
            with urllib.request.urlopen(self.token_url, urllib.parse.urlencode(form).encode()) as answer:
                token = json.load(answer)
            self.token, self.ends_at = token["access_token"], time.time() + token["expires_in"]
        return f"Bearer {self.token}"

    def open(self, url: str, method: str = "GET", **headers: str):
        headers |= {"Authorization": self.authorization()}
        return urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers))


def export(client: Client, folder: Path, since: str | None) -> dict:
    """Asks for an export, waits for it, downloads its files, and deletes it on the server. Returns the manifest."""
    query = urllib.parse.urlencode({"_since": since}) if since else ""
    kick_off = f"{client.base}/Patient/$export?{query}"
    with client.open(kick_off, Accept="application/fhir+json", Prefer="respond-async") as answer:
        status = answer.headers["Content-Location"]
    while True:
        with client.open(status) as answer:
            if answer.status == 200:
                manifest = json.load(answer)
                break
            print(answer.headers["X-Progress"], file=sys.stderr)
            time.sleep(int(answer.headers["Retry-After"]))
    for nth, file in enumerate(manifest["output"]):
        # A part of a file is never taken for the whole: a connection that breaks raises here.
        with client.open(file["url"], Accept="application/fhir+ndjson") as answer:
            with (folder / f"{file['type']}.{nth}.ndjson").open("wb") as lines:
                shutil.copyfileobj(answer, lines)
    client.open(status, method="DELETE").close()
    return manifest


def show(folder: Path) -> None:
    """Prints what came, by its codes."""
    counts = Counter()
    for file in sorted(folder.glob("*.ndjson")):
        for line in file.open():
            resource = json.loads(line)
            code = resource["code"]["coding"][0]["code"] if resource["resourceType"] == "Observation" else ""
            counts[f"{resource['resourceType']} {code}".strip()] += 1
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")


def main() -> None:
    if sys.argv[1:] == ["keys"]:
        make_keys()
        return
    if sys.argv[1:2] != ["export"]:
        sys.exit(__doc__)
    client = Client(os.environ["BASE"], os.environ["CLIENT"])
    since = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = export(client, folder, since)
        show(folder)
        print(f"as of {manifest['transactionTime']}")


if __name__ == "__main__":
    main()
