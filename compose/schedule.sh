#!/usr/bin/env bash
# Once a minute, as terraform/schedule.tf.
set -uo pipefail
kick=$(printf '{"queues": []}' | base64)
while true; do
    curl -fsS -o /dev/null -X POST -H 'Content-Type: application/json' -d '{"messages": [{"data": "'"$kick"'"}]}' \
        http://pubsub:8085/v1/projects/demo/topics/pump-kicks:publish
    curl -fsS -o /dev/null -X POST -H 'Content-Type: application/json' -d '{}' http://watch:8080/
    sleep 60
done
