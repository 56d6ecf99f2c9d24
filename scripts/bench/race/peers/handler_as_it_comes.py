"""The handler that most people write: functions-framework and google-genai as they come, behind a push subscription."""

import base64
import json
import os
from pathlib import Path

import functions_framework
from google import genai

images = Path(os.environ["RACE_IMAGES"])
client = genai.Client(http_options={"base_url": os.environ["RACE_PROVIDER"]})


@functions_framework.http
def render(request):
    message = json.loads(base64.b64decode(request.get_json()["message"]["data"]))
    answer = client.interactions.create(
        model=message["model"],
        input=message["prompt"],
        response_format={"type": "image", "image_size": message["image_size"]},
    )
    (images / f"{message['request_id']}.jpg").write_bytes(base64.b64decode(answer.output_image.data))
    return "", 204
