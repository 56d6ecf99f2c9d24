"""Vertex AI's words for generateContent: its own output options, its answers, and its errors.

Sources: google-genai 3.6.1, which writes `imageConfig.imageOutputOptions` for Vertex alone; the texts of 404 and 429 as
https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 and public reports quote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from scripts.simulator.formats import generate_content
from scripts.simulator.formats.fields import read
from scripts.simulator.formats.reply import WrittenAnswer, json_answer
from scripts.simulator.provider.accepted_request import OUTPUT_TYPES, Headline, PictureOrder
from scripts.simulator.provider.models import VERTEX
from scripts.simulator.provider.parameters import IMAGE_CATEGORIES, TEXT_CATEGORIES
from scripts.simulator.provider.problems import ApiProblem, invalid
from scripts.simulator.provider.rendered import RenderedImage

PNG = "image/png"
BUSY = (
    "Resource exhausted. Please try again later. Please refer to "
    "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
)
NO_TOKEN = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def headline(body: Mapping[str, Any], model: str) -> Headline:
    return replace(generate_content.headline(body, model), tier=VERTEX)


def order(body: Mapping[str, Any]) -> PictureOrder:
    if "serviceTier" in body or "service_tier" in body:
        raise invalid('Invalid JSON payload received. Unknown name "serviceTier": Cannot find field.')
    config = read(body, "generationConfig", dict) or {}
    image = read(config, "imageConfig", dict, "generationConfig.") or {}
    options = read(image, "imageOutputOptions", dict, "generationConfig.imageConfig.") or {}
    where = "generationConfig.imageConfig.imageOutputOptions."
    output_type = read(options, "mimeType", str, where) or PNG
    if output_type not in OUTPUT_TYPES:
        raise invalid(f"Unsupported output mime type {output_type}. Supported: {', '.join(OUTPUT_TYPES)}.")
    quality = read(options, "compressionQuality", int, where)
    made = generate_content.order(body, (*TEXT_CATEGORIES, *IMAGE_CATEGORIES))
    return replace(made, tier=VERTEX, output_type=output_type, output_quality=quality)


def problem_answer(problem: ApiProblem, project: str, location: str, model: str) -> WrittenAnswer:
    """A 429 names no quota: capacity is shared."""
    match problem.http_status:
        case 429 if problem.code != "insufficient_user_quota":
            problem = replace(problem, message=BUSY, details=())
        case 404:
            name = f"projects/{project}/locations/{location}/publishers/google/models/{model}"
            reason = f"Publisher Model `{name}` was not found or your project does not have access to it."
            problem = replace(problem, message=f"{reason} Please ensure you are using a valid model version.")
        case 401:
            problem = replace(problem, message=NO_TOKEN)
        case 403:
            permission = "Permission 'aiplatform.endpoints.predict' denied on resource"
            at = f"//aiplatform.googleapis.com/projects/{project}/locations/{location}/publishers/google/models/{model}"
            details = ({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "aiplatform.googleapis.com",
            },)  # fmt: skip
            problem = replace(problem, message=f"{permission} '{at}' (or it may not exist).", details=details)
        case _:
            pass
    return json_answer(problem.http_status, problem.rpc_body(), problem.headers)


def made_answer(made: RenderedImage) -> WrittenAnswer:
    """Without the header of a service tier: Vertex says ON_DEMAND of what is not provisioned."""
    body = generate_content.response(made, made.ask.output_type)
    if "usageMetadata" in body:
        body["usageMetadata"]["trafficType"] = "ON_DEMAND"
    return json_answer(200, body)
