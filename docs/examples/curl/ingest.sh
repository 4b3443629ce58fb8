#!/usr/bin/env bash
# Sends two points and reads them back. Needs URL and KEY (an API key), and curl.
set -euo pipefail

now="$(date -u +%Y-%m-%dT%H:%M:%SZ)"

curl -sS --fail-with-body "$URL/api/v1/wearables/bulk-ingest" \
  -H "X-API-Key: $KEY" -H 'Content-Type: application/json' \
  -d "{\"data_points\": [
    {\"metric\": \"heart_rate\", \"value\": 62, \"unit\": \"bpm\", \"recorded_at\": \"$now\", \"source\": \"watch\"},
    {\"metric\": \"spo2\", \"value\": 97, \"unit\": \"%\", \"recorded_at\": \"$now\", \"source\": \"watch\"}
  ]}"
echo

# The newest value of every metric.
curl -sS --fail-with-body "$URL/api/v1/wearables/latest" -H "X-API-Key: $KEY"
echo

# The last 30 days, newest first.
curl -sS --fail-with-body "$URL/api/v1/wearables/metric/heart_rate?days=30" -H "X-API-Key: $KEY"
echo

# One figure per local day.
curl -sS --fail-with-body -G "$URL/api/v1/wearables/metric/heart_rate" -H "X-API-Key: $KEY" \
  -d days=30 -d bucket=1d -d agg=avg,min,max -d tz=Europe/Berlin
echo
