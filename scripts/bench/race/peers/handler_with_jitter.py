"""The handler of somebody who knows: full jitter after the delay of a 429, a fallback model, no second image."""

import base64
import json
import os
import random
import re
from pathlib import Path

import functions_framework
import tenacity
from google import genai
from google.genai import types

ATTEMPTS = 10
SICK_CALLS_BEFORE_FALLBACK = 2
images = Path(os.environ["RACE_IMAGES"])
options = types.HttpOptions(
    base_url=os.environ["RACE_PROVIDER"], retry_options=types.HttpRetryOptions(attempts=1), timeout=300_000
)
client = genai.Client(http_options=options)


def status_of(error):
    return getattr(error, "status_code", None) or getattr(error, "code", None)


def is_worth_a_retry(error):
    return status_of(error) in (408, 429, 500, 502, 503, 504) or "onnection" in type(error).__name__


def wait(state):
    """Full jitter; after a 429 that names a delay, not before that delay."""
    error = state.outcome.exception()
    response = getattr(error, "response", None)
    text = f"{error} {getattr(response, 'text', '')}"
    named = re.search(r"retry in ([\d.]+)s|retryDelay\W+([\d.]+)s", text)
    header = getattr(response, "headers", {}).get("retry-after", "0")
    delay = float(named.group(1) or named.group(2)) if named else float(header)
    return delay + random.uniform(0, min(60, 2**state.attempt_number))


@functions_framework.http
def render(request):
    try:
        message = json.loads(base64.b64decode(request.get_json()["message"]["data"]))
    except ValueError:
        return drop("the message is no JSON")
    image = images / f"{message['request_id']}.jpg"
    if image.exists():
        return "", 204
    sick_calls = 0
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_worth_a_retry),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=wait,
        reraise=True,
    ):
        with attempt:
            use_fallback = message["fallback"] and sick_calls >= SICK_CALLS_BEFORE_FALLBACK
            try:
                answer = client.interactions.create(
                    model=message["fallback"] if use_fallback else message["model"],
                    input=message["prompt"],
                    response_format={"type": "image", "image_size": message["image_size"]},
                )
            except Exception as error:
                if status_of(error) == 400:
                    return drop(f"{message['request_id']} was refused: {error}")
                sick_calls += (status_of(error) or 0) >= 500
                raise
    if answer.output_image is None:
        return drop(f"{message['request_id']} has no image")
    part = image.with_suffix(".part")
    part.write_bytes(base64.b64decode(answer.output_image.data))
    part.rename(image)
    return "", 204


def drop(why):
    """Acknowledged: another delivery would end like this one."""
    print(why)
    return "", 204
