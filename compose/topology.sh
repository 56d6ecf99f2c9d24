#!/usr/bin/env bash
# Topics and subscriptions of shared/core/messages/topics.py on the emulator; a test compares them. NAME TOPIC FUNCTION SECONDS PULL|PUSH
set -euo pipefail
pubsub=http://pubsub:8085/v1/projects/demo
for topic in render-requests render-releases render-results render-arrivals webhook-deliveries pump-kicks render-dead-letters; do
    curl -fsS -X PUT -H 'Content-Type: application/json' -d '{}' "$pubsub/topics/$topic" >/dev/null || true
done
while read -r name topic function seconds how; do
    push=""
    [ "$how" = push ] && push=', "pushConfig": {"pushEndpoint": "http://'"$function"':8080/"}'
    curl -fsS -X PUT -H 'Content-Type: application/json' "$pubsub/subscriptions/$name" >/dev/null -d '{
        "topic": "projects/demo/topics/'"$topic"'", "ackDeadlineSeconds": '"$seconds"',
        "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"}'"$push"'}' || true
done <<'TABLE'
render-requests-intake render-requests intake 60 push
pump-kicks-pump pump-kicks pump 600 push
render-releases-render render-releases render 600 pull
render-arrivals-collect render-arrivals collect 300 push
render-results-deliver render-results deliver 60 push
webhook-deliveries-deliver webhook-deliveries deliver 60 push
render-dead-letters-bury render-dead-letters bury 60 push
TABLE
install -d -o 65532 -g 65532 /images/stored /images/kept
