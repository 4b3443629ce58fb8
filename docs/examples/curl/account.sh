#!/usr/bin/env bash
# Makes an account and an API key over HTTP. Needs URL, e.g. http://127.0.0.1:8080, and curl and python3.
set -euo pipefail

email="person-$RANDOM$RANDOM@example.org"
password="$(python3 -c 'import secrets; print(secrets.token_urlsafe(16))')"
field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }

curl -sS --fail-with-body "$URL/api/v1/auth/register" \
  -H 'Content-Type: application/json' \
  -d "{\"name\": \"A Person\", \"email\": \"$email\", \"password\": \"$password\"}" > /dev/null

token="$(curl -sS --fail-with-body "$URL/api/v1/auth/login" \
  -H 'Content-Type: application/json' \
  -d "{\"email\": \"$email\", \"password\": \"$password\"}" | field access_token)"

# The key is shown this once: keep it.
key="$(curl -sS --fail-with-body "$URL/api/v1/api-keys" \
  -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
  -d '{"name": "my pipeline", "scopes": ["read", "write"]}' | field key)"

curl -sS --fail-with-body "$URL/api/v1/users/me" -H "X-API-Key: $key"
