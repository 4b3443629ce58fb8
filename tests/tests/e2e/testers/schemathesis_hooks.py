"""What bodies of `POST /wearables/stream` look like: points and lines that are none, as they are and behind each other.

Whom webhooks call: `TESTED_RECEIVER`, whatever host the generator thinks of. Whose account ends: that of `TESTED_LEAVER`,
whose access token is `TESTED_LEAVER_TOKEN`, once.
"""

import json
import os
import re

import schemathesis
from hypothesis import strategies

LINES = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"

point = strategies.fixed_dictionaries(
    {
        "metric": strategies.sampled_from(["heart_rate", "hrv", "spo2", "nothing"]),
        "value": strategies.one_of(strategies.floats(), strategies.integers(15, 350), strategies.none()),
        "unit": strategies.sampled_from(["bpm", "ms", "%", ""]),
        "recorded_at": strategies.sampled_from(["2026-06-01T08:30:00Z", "2026-06-01T10:30:00+02:00", "yesterday"]),
        "source": strategies.text(max_size=70),
    },
    optional={"user_id": strategies.sampled_from(["usr_7jRtHvBk", "nobody"]), "x": strategies.text()},
)
line = strategies.one_of(point.map(json.dumps), strategies.text(max_size=40), strategies.just(""))
lines = strategies.lists(line, max_size=20).map(lambda them: "\n".join(them).encode("utf-8", "surrogatepass"))

schemathesis.openapi.media_type(LINES, lines)
schemathesis.openapi.media_type(ARROW, strategies.binary(max_size=400))


@schemathesis.serializer(LINES, ARROW)
def as_it_is(ctx, value):
    """Bytes as they are; what is none, as JSON: a body that the description does not allow."""
    return value if isinstance(value, bytes) else json.dumps(value).encode("utf-8", "surrogatepass")


leavers = [(os.environ["TESTED_LEAVER"], os.environ["TESTED_LEAVER_TOKEN"])]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts the receiver into the addresses of webhooks, and the leaver into the first end of an account that would be one."""
    body = case.body if isinstance(case.body, dict) else {}
    if "/webhooks" in case.operation.path and isinstance(body.get("url"), str):
        body["url"] = re.sub(r"^https?://[^/?#]*", os.environ["TESTED_RECEIVER"], body["url"], flags=re.IGNORECASE)
    ends = case.operation.method.upper() == "DELETE" and case.operation.path.endswith("/users/me")
    known = str((case.headers or {}).get("Authorization", "")).startswith("Bearer eyJ")
    if ends and known and leavers and list(body) == ["confirm"] and "@" in str(body["confirm"]):
        body["confirm"], token = leavers.pop()
        case.headers["Authorization"] = f"Bearer {token}"
