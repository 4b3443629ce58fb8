"""What bodies of `POST /wearables/stream` look like: points and lines that are none, as they are and behind each other."""

import json

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
