"""LiteLLM's router in a function: usage-based routing with enforced limits, cooldown and fallback in an outage."""

import base64
import json
import os
from pathlib import Path

import functions_framework.aio
import litellm
from litellm import Router
from litellm.types.router import AllowedFailsPolicy, RetryPolicy
from starlette.responses import Response

images = Path(os.environ["RACE_IMAGES"])
limits = json.loads(os.environ["RACE_RPM"])


def deployment(model):
    rpm = {"rpm": limits[model]} if model in limits else {}
    base = os.environ["RACE_PROVIDER"] + "/v1beta"
    return {
        "model_name": model,
        "litellm_params": {"model": f"gemini/{model}", "api_base": base, "api_key": os.environ["GEMINI_API_KEY"], **rpm},
    }


PRO, STANDARD = "gemini-3-pro-image", "gemini-nano-banana-2.1"
router = Router(
    model_list=[deployment(PRO), deployment(STANDARD)],
    routing_strategy="usage-based-routing-v2",
    optional_pre_call_checks=["enforce_model_rate_limits"],
    allowed_fails_policy=AllowedFailsPolicy(
        ServiceUnavailableErrorAllowedFails=3, InternalServerErrorAllowedFails=3, RateLimitErrorAllowedFails=1000
    ),
    cooldown_time=15,
    fallbacks=[{PRO: [STANDARD]}],
    num_retries=10,
    retry_policy=RetryPolicy(
        RateLimitErrorRetries=20, ServiceUnavailableErrorRetries=0, BadRequestErrorRetries=0,
        ContentPolicyViolationErrorRetries=0,
    ),
    timeout=300,
)


async def render(request):
    envelope = await request.json()
    message = json.loads(base64.b64decode(envelope["message"]["data"]))
    image = images / f"{message['request_id']}.jpg"
    if image.exists():
        return Response(status_code=204)
    answer = await router.aimage_generation(
        model=message["model"],
        prompt=message["prompt"],
        imageConfig={"imageSize": message["image_size"]},
    )
    part = image.with_suffix(".part")
    part.write_bytes(base64.b64decode(answer.data[0].b64_json))
    part.rename(image)
    cost = answer._hidden_params.get("response_cost")
    with open(os.environ["RACE_BOOKS"], "a") as books:
        books.write(json.dumps({"request_id": message["request_id"], "usd": cost}) + "\n")
    return Response(status_code=204)
