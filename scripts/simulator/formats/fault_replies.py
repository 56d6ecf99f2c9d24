"""What scripted faults say and do: their errors, their answers without a picture, and answers bent after the fact."""

from __future__ import annotations

from msgspec.structs import replace

from scripts.simulator.formats.reply import Cut, Hang, Reply, Reset, WrittenAnswer, json_answer
from scripts.simulator.provider import quota_problems
from scripts.simulator.provider.accepted_request import Headline
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.problems import ApiProblem, model_not_found
from scripts.simulator.provider.rendered import NoImage

_ANNOUNCED_DELAY = 45.837906927
_MESSAGES = {
    "overload": "The model is overloaded. Please try again later.",
    "shed": "Flex capacity is exhausted. Please try again later or use the standard tier.",
    "internal": "An internal error has occurred. Please retry or report.",
    "deadline": "The request timed out. Please try again.",
    "proxy_timeout": "The request timed out. Please try again.",
    "credential": "API key not valid. Please pass a valid API key.",
    "permission": "The caller does not have permission.",
    "payment": "Billing is not active for this project.",
    "balance": "The balance of this account is used up. Please recharge.",
    "rejected": "Request contains an invalid argument.",
}
_CODES = {
    "overload": "service_unavailable",
    "shed": "service_unavailable",
    "internal": "api_error",
    "deadline": "deadline_exceeded",
    "proxy_timeout": "deadline_exceeded",
    "credential": "authentication",
    "permission": "permission_denied",
    "payment": "payment_required",
    "balance": "insufficient_user_quota",
}
_REFUSAL = "The image was refused by the safety filters. Please rephrase the prompt."
_NO_IMAGE = "The model did not return an image."
_PROXY_PAGE = b"<!DOCTYPE html><html><head><title>example.com | 524: A timeout occurred</title></head></html>"


def gate_problem(fault: Fault, headline: Headline) -> ApiProblem:
    match fault.kind:
        case "gone":
            return _dressed(model_not_found(headline.model), fault)
        case "tier_unsupported":
            message = f"Service tier '{headline.tier}' is not supported for model {headline.model}."
            return _dressed(ApiProblem("invalid_request", message), fault)
        case "quota":
            delay = _ANNOUNCED_DELAY if fault.seconds is None else fault.seconds
            exhausted = quota_problems.of_variant(
                fault.variant,
                headline.model,
                limit=fault.quota_value,
                delay=delay,
                retry_delay=fault.retry_delay,
                suffix=fault.quota_suffix,
            )
            return _dressed(exhausted, fault)
        case "rejected":
            return _dressed(ApiProblem(fault.code or "invalid_request", _MESSAGES["rejected"], status=400), fault)
        case _:
            return problem(fault)


def problem(fault: Fault) -> ApiProblem:
    return _dressed(ApiProblem(_CODES[fault.kind], _MESSAGES[fault.kind]), fault)


def without_answer(fault: Fault) -> Reply:
    """What comes where the API itself says nothing."""
    match fault.kind:
        case "hang":
            return Hang()
        case "reset":
            return Reset()
        case _:
            return WrittenAnswer(524, _PROXY_PAGE, {"content-type": "text/html", "server": "cloudflare"})


def _dressed(problem: ApiProblem, fault: Fault) -> ApiProblem:
    headers = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
    return replace(problem, message=fault.message or problem.message, headers=headers, form=fault.error_form)


def no_image(fault: Fault) -> NoImage:
    refusal = fault.kind == "refusal"
    code = fault.code or ("image_safety" if refusal else "no_image")
    return NoImage(fault.form, code, fault.message or (_REFUSAL if refusal else _NO_IMAGE))


def bend(answer: WrittenAnswer, fault: Fault | None) -> Reply:
    match fault:
        case Fault(kind="cut"):
            return Cut(answer)
        case Fault(kind="malformed"):
            return replace(answer, body=answer.body[:-2] + b',"')
        case Fault(kind="other_shape"):
            return json_answer(200, {"result": {"ok": True, "job": "4711"}}, answer.headers)
        case _:
            return answer
