"""LiteLLM's router in a function: usage-based routing with enforced limits, cooldown and fallback in an outage."""

import base64
import json
import os
from pathlib import Path

from litellm import BadRequestError, Router
from litellm.types.router import AllowedFailsPolicy, RetryPolicy
from starlette.responses import Response

images = Path(os.environ["RACE_IMAGES"])
books = open(os.environ["RACE_BOOKS"], "a", buffering=1)  # noqa: SIM115
limits = json.loads(os.environ["RACE_RPM"])


def deployment(model):
    rpm = {"rpm": limits[model]} if model in limits else {}
    base = os.environ["RACE_PROVIDER"] + "/v1beta"
    return {
        "model_name": model,
        "litellm_params": {
            "model": f"gemini/{model}",
            "api_base": base,
            "api_key": os.environ["GEMINI_API_KEY"],
            **rpm,
        },
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
        RateLimitErrorRetries=20,
        ServiceUnavailableErrorRetries=0,
        BadRequestErrorRetries=0,
        ContentPolicyViolationErrorRetries=0,
    ),
    timeout=300,
)


async def render(request):
    envelope = await request.json()
    try:
        message = json.loads(base64.b64decode(envelope["message"]["data"]))
    except ValueError:
        return drop("the message is no JSON")
    image = images / f"{message['request_id']}.jpg"
    if image.exists():
        return Response(status_code=204)
    try:
        answer = await router.acompletion(
            model=message["model"],
            messages=[{"role": "user", "content": message["prompt"]}],
            modalities=["image"],
            imageConfig={"imageSize": message["image_size"]},
        )
    except BadRequestError as error:
        return drop(f"{message['request_id']} was refused: {error}")
    cost = answer._hidden_params.get("response_cost")
    books.write(json.dumps({"request_id": message["request_id"], "usd": cost}) + "\n")
    pictures = getattr(answer.choices[0].message, "images", None)
    if not pictures:
        return drop(f"{message['request_id']} has no image")
    part = image.with_suffix(".part")
    part.write_bytes(base64.b64decode(pictures[0]["image_url"]["url"].partition(",")[2]))
    part.rename(image)
    return Response(status_code=204)


def drop(why):
    """Acknowledged: another delivery would end like this one."""
    print(why)
    return Response(status_code=204)
