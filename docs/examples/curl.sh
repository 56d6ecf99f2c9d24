#!/usr/bin/env bash
# One image with curl: curl.sh PROMPT FILE. RENDERLANE_URL and RENDERLANE_TOKEN as in README.md.
set -euo pipefail
prompt=${1:?usage: curl.sh PROMPT FILE} file=${2:?usage: curl.sh PROMPT FILE}
url=${RENDERLANE_URL:-http://127.0.0.1:8080}
call=(curl --silent --show-error --fail-with-body --retry 4 --retry-connrefused)
[ -z "${RENDERLANE_TOKEN:-}" ] || call+=(--header "Authorization: Bearer $RENDERLANE_TOKEN")

# The id is the idempotency key: a retry with it is the same request, paid for once.
id=shell-$(date +%s)-$$
quoted=${prompt//\\/\\\\} quoted=${quoted//\"/\\\"} quoted=${quoted//$'\n'/\\n}
"${call[@]}" --output /dev/null --header 'Content-Type: application/json' \
    --data "{\"request_id\": \"$id\", \"prompt\": \"$quoted\", \"max_cost_usd\": \"0.30\"}" "$url/v1/requests"

status=accepted
while [[ $status =~ ^(accepted|queued|released|rendering|batched)$ ]]; do
    view=$("${call[@]}" "$url/v1/requests/$id?wait=30")
    status=$(sed -n 's/.*"status": *"\([a-z]*\)".*/\1/p' <<<"$view")
done
if [ "$status" != succeeded ]; then
    echo "$id: $view" >&2
    exit 1
fi
"${call[@]}" --location --output "$file" "$url/v1/requests/$id/image"
echo "$id: $file"
