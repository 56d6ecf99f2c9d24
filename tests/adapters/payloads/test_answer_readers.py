"""Every reader of answers finds a whole picture in any surroundings, and never reports a charge of zero.

Each form's usual answer is one that was seen; what is done to it is what relays were reported to do.
"""

from __future__ import annotations

import base64
import copy
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.adapters.gateway import openai_response
from shared.adapters.gemini.generate_content_response import read_answer as read_content
from shared.adapters.gemini.interactions_response import read_answer as read_interaction
from shared.adapters.gemini_batch.batch_lines import read_line
from shared.adapters.payloads.answer_image import Elsewhere, Read
from shared.core.catalogue import price
from shared.core.provider.call import Made
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from tests.adapters.gemini.test_interactions_lane import an_order
from tests.builders import NOW, a_catalogue
from tests.fakes.scripted_gemini import USAGE, a_png, interaction, output

K = FailureKind
PRO = "gemini-3-pro-image"
PNG = a_png(16, 9, padding=3)
B64 = base64.b64encode(PNG).decode()
OTHER = base64.b64encode(a_png(4, 4)).decode()
USAGE_GC = {
    "promptTokenCount": 12,
    "candidatesTokenCount": 1150,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "thoughtsTokenCount": 210,
    "totalTokenCount": 1372,
}


def an_interaction(*parts: Any) -> Any:
    return interaction(output({"type": "text", "text": "Here"}, *parts))


def a_content(*parts: Any) -> Any:
    content = {"role": "model", "parts": [{"text": "Here"}, *parts]}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": USAGE_GC, "modelVersion": PRO, "responseId": "r1"}


def a_line(*parts: Any) -> Any:
    return {"key": "r-1/1", "response": a_content(*parts)}


def a_chat(*parts: Any) -> Any:
    message = {"role": "assistant", "content": "Here", "images": list(parts)}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return {"id": "c1", "model": PRO, "choices": choices, "usage": {"completion_tokens": 1120}}


def images(*parts: Any) -> Any:
    return {"created": 1, "data": list(parts)}


def ia_part(data: Any, mime: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "mime_type": mime, "data": data}


def gc_part(data: Any, mime: str = "image/png") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": data}}


def chat_part(data: Any, mime: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}" if isinstance(data, str) else data}}


def image_part(data: Any, mime: str = "image/png") -> dict[str, Any]:
    return {"b64_json": data, "revised_prompt": "a cube"}


def read_batch(body: bytes) -> Read:
    return read_line(body, PRO, NOW).read


ORDER = an_order(image_size="1K", aspect_ratio=None)
Form = tuple[Callable[..., Any], Callable[..., dict[str, Any]], Callable[[bytes], Read]]
FORMS: dict[str, Form] = {
    "interactions": (an_interaction, ia_part, lambda body: read_interaction(body, ORDER, {}, NOW)),
    "generateContent": (a_content, gc_part, lambda body: read_content(body, ORDER, {}, NOW)),
    "batch": (a_line, gc_part, read_batch),
    "chat": (a_chat, chat_part, lambda body: openai_response.read_chat(body, ORDER, {}, NOW)),
    "images": (images, image_part, lambda body: openai_response.read_images(body, ORDER, {}, NOW)),
}
forms = pytest.mark.parametrize("form", FORMS)


def read(form: str, body: Any) -> Read:
    return FORMS[form][2](body if isinstance(body, bytes) else json.dumps(body).encode())


def answer(form: str, *data: Any) -> Any:
    build, part, _ = FORMS[form]
    return build(*(part(item) if not isinstance(item, dict) else item for item in data))


def made(form: str, body: Any, picture: bytes = PNG) -> Made:
    answer = read(form, body)
    assert isinstance(answer, Made), answer
    assert answer.picture.data == picture
    return answer


def failed(form: str, body: Any) -> Failure:
    failure = read(form, body)
    assert isinstance(failure, Failure), failure
    return failure


# -- base64 ------------------------------------------------------------------------------------------------------------

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it should be": lambda text: text,
    "without padding": lambda text: text.rstrip("="),
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "in lines": lambda text: "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\n",
    "a data URL": lambda text: f"data:image/png;base64,{text}",
    "a data URL in capitals": lambda text: f"DATA:image/PNG;charset=utf-8;BASE64,{text}",
    "percent-encoded": lambda text: text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
}


@forms
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_base64_is_read_however_it_is_written(form: str, encoding: str) -> None:
    if form == "chat" and "data URL" in encoding:
        made(form, a_chat({"image_url": {"url": ENCODINGS[encoding](B64)}}))
    else:
        made(form, answer(form, ENCODINGS[encoding](B64)))


@forms
def test_escaped_slashes_and_equal_signs_are_read(form: str) -> None:
    text = json.dumps(answer(form, B64)).replace("/", "\\/").replace("=", "\\u003d")
    made(form, text.encode())


# -- walking back ------------------------------------------------------------------------------------------------------


@forms
@pytest.mark.parametrize("after", ["", None, 7, [], "!!!!", OTHER[:40], base64.b64encode(b"GIF89a").decode()])
def test_what_comes_behind_a_whole_picture_and_cannot_be_read_does_not_cost_it(form: str, after: Any) -> None:
    assert made(form, answer(form, B64, after)).remark in ("", "earlier_image")


@forms
def test_the_last_whole_picture_is_the_answer(form: str) -> None:
    assert made(form, answer(form, OTHER, B64)).remark == ""


@forms
def test_a_last_picture_that_is_cut_gives_way_to_the_one_before_and_the_receipt_can_say_so(form: str) -> None:
    assert made(form, answer(form, B64, B64[: len(B64) // 2])).remark == "earlier_image"


@forms
def test_a_picture_that_ends_in_the_middle_is_none(form: str) -> None:
    failure = failed(form, answer(form, B64[: len(B64) // 2]))
    assert failure.kind is K.MALFORMED_ANSWER
    assert "ends in the middle" in failure.message


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 48), 80).convert("RGB").save(out, kind, **({"progressive": True} if kind == "JPEG" else {}))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("form", ["interactions", "images"])
def test_a_whole_picture_may_have_bytes_behind_it_and_none_that_is_cut_is_taken(form: str, kind: str) -> None:
    data = encoded(kind)
    made(form, answer(form, base64.b64encode(data).decode()), data)
    longer = data + b"\0\0 trailing"
    made(form, answer(form, base64.b64encode(longer).decode()), longer)
    for share in (0.3, 0.9, 0.99):
        short = base64.b64encode(data[: int(len(data) * share)]).decode()
        assert failed(form, answer(form, short)).kind is K.MALFORMED_ANSWER


def test_a_jpeg_whose_thumbnail_has_an_end_is_cut_all_the_same() -> None:
    data, thumbnail = encoded("JPEG"), b"Exif\0\0\xff\xd8\xff\xd9"
    whole = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2) + thumbnail + data[2:]
    made("images", images({"b64_json": base64.b64encode(whole).decode()}), whole)
    assert failed("images", images({"b64_json": base64.b64encode(whole[:-400]).decode()})).kind is K.MALFORMED_ANSWER


# -- thoughts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["generateContent", "batch"])
def test_a_thought_is_taken_only_where_there_is_no_other(form: str) -> None:
    thought = gc_part(B64) | {"thought": True}
    assert made(form, answer(form, thought)).remark == "thought_image"
    final = base64.b64decode(OTHER)
    assert made(form, answer(form, OTHER, thought), final).remark == ""


def test_a_thought_step_of_an_interaction_is_taken_only_where_there_is_no_other() -> None:
    thought = {"type": "thought", "signature": "c2ln", "summary": [ia_part(B64)]}
    text = output({"type": "text", "text": "Done."})
    assert made("interactions", interaction(thought, text)).remark == "thought_image"
    later = interaction(output(ia_part(OTHER)), thought)
    assert made("interactions", later, base64.b64decode(OTHER)).remark == ""


def test_what_was_sent_or_found_by_a_tool_is_no_answer() -> None:
    for step in (
        {"type": "user_input", "content": [ia_part(B64)]},
        {"type": "x", "role": "user", "content": [ia_part(B64)]},
        {"type": "google_search_result", "result": [ia_part(B64)]},
    ):
        assert failed("interactions", interaction(step, output({"type": "text", "text": "no"}))).kind is K.NO_IMAGE


# -- other places and shapes -------------------------------------------------------------------------------------------

URL = f"data:image/png;base64,{B64}"
MESSAGES: dict[str, dict[str, Any]] = {
    "images, url": {"content": "Here", "images": [{"type": "image_url", "image_url": {"url": URL}}]},
    "images, a string as url": {"content": None, "images": [{"image_url": URL}]},
    "images, strings": {"images": [URL]},
    "images, bare base64": {"images": [{"b64_json": B64}]},
    "image, singular": {"content": "", "image": {"url": URL, "detail": "auto"}},
    "image, a string": {"image": URL},
    "parts, image_url": {"content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": URL}}]},
    "parts, output_image": {"content": [{"type": "output_image", "image_url": URL}]},
    "parts, source": {"content": [{"type": "image", "source": {"type": "base64", "data": B64}}]},
    "parts, inline_data": {"content": [{"inline_data": {"mime_type": "image/png", "data": B64}}]},
    "parts, text with a data URL": {"content": [{"type": "text", "text": f"![x]({URL})"}]},
    "text, markdown": {"content": f"Here:\n![x]({URL})\nbye"},
    "text, words behind it": {"content": f"{URL} and that is all"},
    "text, capitals and parameters": {"content": f"![i](data:image/PNG;charset=utf-8;base64,{B64})"},
    "text, HTML": {"content": f'<img src="{URL}">'},
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_chat_message_may_hold_its_picture_anywhere(message: dict[str, Any]) -> None:
    made("chat", {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]})


@forms
def test_members_of_another_type_that_nobody_needs_void_nothing(form: str) -> None:
    body = answer(form, B64)
    odd: dict[str, Any] = body | {
        "id": 7,
        "model": None,
        "usage": [1],
        "usageMetadata": "x",
        "errors": 3,
        "error": None,
    }
    made(form, odd)
    made(form, b"\xef\xbb\xbf\n\n  " + json.dumps(odd).encode())


def test_numbers_as_id_and_finish_reason_are_read() -> None:
    chat = a_chat(chat_part(B64)) | {"id": 17}
    chat["choices"][0]["finish_reason"] = 1
    assert made("chat", chat).provider_request_id == "17"
    content = a_content(gc_part(B64)) | {"responseId": 18}
    content["candidates"][0]["finishReason"] = None
    assert made("generateContent", content).provider_request_id == "18"


def test_the_older_names_of_an_interaction_are_read() -> None:
    outputs = [{"type": "text", "text": "x"}, ia_part(B64)]
    answered = made("interactions", interaction(steps=None, outputs=outputs))
    assert answered.usage == Usage(22, 560, 30, 1120, 210, 3)
    made("interactions", {"outputs": outputs})


def test_the_other_spelling_of_a_part_is_read() -> None:
    part = {"inline_data": {"mime_type": "image/png", "data": B64}, "thoughtSignature": "c2ln"}
    made("generateContent", a_content(part, {"text": "x", "inlineData": None, "thought": None}))
    made("generateContent", {"response": a_content(gc_part(B64))})


# -- streams -----------------------------------------------------------------------------------------------------------


def sse(*events: Any, end: str = "\n\n") -> bytes:
    return "".join(f"data: {json.dumps(event)}{end}" for event in events).encode() + b"data: [DONE]\n\n"


@forms
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n"])
def test_a_stream_that_nobody_asked_for_is_read(form: str, end: str) -> None:
    text, picture = answer(form), answer(form, B64)
    if form == "batch":
        return  # a file of lines has none
    made(form, sse(text, picture, text, end=end))
    made(form, b": keep-alive\n\nevent: message\n" + sse(picture))


def test_chunks_of_generate_content_are_one_answer() -> None:
    first = {"candidates": [{"content": {"parts": [gc_part(B64)]}}], "modelVersion": PRO}
    last = {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}], "usageMetadata": USAGE_GC}
    for body in (
        sse(first, last),
        json.dumps([first, last]).encode(),
        b"\n".join(json.dumps(x).encode() for x in (first, last)),
    ):
        answered = made("generateContent", body)
        assert answered.usage == Usage(text_in=12, text_out=30, image_out=1120, thought=210)
        assert answered.model == PRO
    refused = {"candidates": [{"content": {}, "finishReason": "IMAGE_SAFETY"}]}
    assert failed("generateContent", sse({"candidates": [{"content": {}}]}, refused)).kind is K.REFUSED


def test_chat_deltas_are_one_message() -> None:
    def delta(**fields: Any) -> dict[str, Any]:
        return {"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}

    made("chat", sse(delta(role="assistant", content="ok"), delta(content=f"![image]({URL})"), delta()))
    made("chat", sse(delta(content=f"![image]({URL[:60]}"), delta(content=URL[60:99]), delta(content=URL[99:] + ")")))
    made("chat", sse(delta(content="ok"), delta(images=[chat_part(B64)])))
    assert failed("chat", sse(delta(content="no"), delta(content="pe"))).kind is K.NO_IMAGE
    assert failed("chat", sse(delta(refusal="I "), delta(refusal="won't"))).message == "I won't"


def test_events_of_an_interaction_are_one_answer() -> None:
    begun = {"event_type": "interaction.start", "interaction": {"id": "v1_s", "status": "in_progress"}}
    delta = {"event_type": "content.delta", "index": 0, "delta": ia_part(B64)}
    ended = {"event_type": "interaction.complete", "interaction": {"id": "v1_s", "status": "completed", "usage": USAGE}}
    answered = made("interactions", sse(begun, delta, ended))
    assert (answered.provider_request_id, answered.usage) == ("v1_s", Usage(22, 560, 30, 1120, 210, 3))
    pieces = [{"delta": ia_part(B64[at : at + 40])} for at in range(0, len(B64), 40)]
    made("interactions", sse(begun, *pieces, ended))


# -- addresses ---------------------------------------------------------------------------------------------------------

FAR = "https://cdn.example.com/a.png"


@pytest.mark.parametrize(
    ("form", "body", "address"),
    [
        ("interactions", an_interaction({"type": "image", "uri": FAR}), FAR),
        ("interactions", an_interaction({"type": "image", "file_uri": "files/abc"}), "files/abc"),
        ("generateContent", a_content({"fileData": {"mimeType": "image/png", "fileUri": FAR}}), FAR),
        ("generateContent", a_content({"file_data": {"file_uri": FAR}}), FAR),
        ("batch", a_line({"fileData": {"fileUri": FAR}}), FAR),
        ("images", images({"url": FAR}), FAR),
        ("images", images({"b64_json": None, "url": "/files/a.png"}), "/files/a.png"),
        ("chat", a_chat({"image_url": {"url": FAR}}), FAR),
        ("chat", a_chat() | {"choices": [{"message": {"content": f"see ![a [nice] cube]({FAR}) there"}}]}, FAR),
        ("chat", {"choices": [{"message": {"content": f"![{'x' * 500}]({FAR}?sig=a)"}}]}, f"{FAR}?sig=a"),
        ("chat", {"choices": [{"message": {"content": f"Your picture: {FAR}. Enjoy!"}}]}, FAR),
        ("chat", {"choices": [{"message": {"content": "https://cdn.example.com/9f"}}]}, "https://cdn.example.com/9f"),
        ("chat", {"choices": [{"message": {"content": f'<img src="{FAR}"/>'}}]}, FAR),
    ],
)
def test_an_address_instead_of_bytes_is_where_the_picture_is_to_be_fetched(form: str, body: Any, address: str) -> None:
    answer = read(form, body)
    assert isinstance(answer, Elsewhere), answer
    assert answer.addresses == (address,)


def test_a_link_in_the_models_words_is_no_picture() -> None:
    for text in ("See https://ai.google.dev/policy for why.", "[policy](https://ai.google.dev/policy)"):
        assert failed("chat", {"choices": [{"message": {"content": text}}]}).kind is K.NO_IMAGE
    text = f"![x]({FAR})"
    assert failed("generateContent", a_content({"text": text})).kind is K.NO_IMAGE, "no form for addresses"


def test_bytes_at_hand_are_taken_before_an_address_is_asked() -> None:
    made("images", images({"b64_json": B64, "url": FAR}, {"url": FAR}))
    thought = read("generateContent", a_content(gc_part(B64) | {"thought": True}, {"fileData": {"fileUri": FAR}}))
    assert isinstance(thought, Elsewhere)
    assert isinstance(thought.otherwise, Made), "where nothing can be fetched"


def test_a_hostile_text_is_read_in_linear_time() -> None:
    for text in ("![" * 60_000, "](" * 60_000, "data:image/" * 40_000, "https://" * 40_000, "![a](" * 40_000):
        failed("chat", {"choices": [{"message": {"content": text}}]})


# -- errors and refusals inside a 200 ----------------------------------------------------------------------------------


def a_choice(**fields: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "message": {"content": ""}, **fields}]}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (a_choice(error={"code": 502, "message": "Provider returned error"}), K.SERVER_ERROR, 502),
        (a_choice(error={"code": 429, "message": "slow down"}), K.QUOTA_UNKNOWN, 429),
        (a_choice(error="content policy violation"), K.REFUSED, 200),
        (a_choice(finish_reason="content_filter"), K.REFUSED, 200),
        (a_choice(finish_reason="stop", native_finish_reason="IMAGE_SAFETY"), K.REFUSED, 200),
        (a_choice(native_finish_reason="PROHIBITED_CONTENT"), K.REFUSED, 200),
        (a_choice(message={"refusal": "I will not."}), K.REFUSED, 200),
        ({"error": {"code": "content_policy_violation", "message": "no"}, "data": []}, K.REFUSED, 200),
        (
            {"error": {"type": "image_generation_user_error", "code": "moderation_blocked", "message": "x"}},
            K.REFUSED,
            200,
        ),
        ({"code": "content_policy_violation", "message": "rejected by our safety system"}, K.REFUSED, 200),
        ({"message": "litellm.ContentPolicyViolationError: no", "type": "x"}, K.REFUSED, 200),
        ({"code": 503, "message": "overloaded"}, K.OVERLOAD, 503),
        ({"error": {"code": 429, "message": "Rate limit exceeded"}, "user_id": "u"}, K.QUOTA_UNKNOWN, 429),
        ({"error": {"code": 7, "message": "moon phase"}}, K.PERMISSION, 403),
        ({"error": {"code": "moon_phase", "message": "odd"}}, K.MALFORMED_ANSWER, 200),
        ({"choices": [], "error": {"message": "I have no violation of any kind"}}, K.NO_IMAGE, 200),
        (a_choice(finish_reason="stop"), K.NO_IMAGE, 200),
    ],
)
def test_what_a_chat_answer_says_instead_of_a_picture_is_named(
    body: dict[str, Any], kind: FailureKind, status: int
) -> None:
    failure = failed("chat", body)
    assert (failure.kind, failure.http_status) == (kind, status)


def test_an_empty_list_of_images_says_nothing() -> None:
    assert failed("images", images()).kind is K.NO_IMAGE


@forms
def test_an_error_in_a_stream_keeps_its_words(form: str) -> None:
    if form != "batch":
        failure = failed(form, sse({"error": {"code": 429, "message": "not now", "status": "RESOURCE_EXHAUSTED"}}))
        assert (failure.kind, failure.message) == (K.QUOTA_UNKNOWN, "not now")


@pytest.mark.parametrize("form", ["interactions", "generateContent"])
def test_a_bare_error_keeps_its_words(form: str) -> None:
    failure = failed(form, {"code": 429, "message": "quota of the relay", "status": "RESOURCE_EXHAUSTED"})
    assert failure.message == "quota of the relay"
    assert failure.kind is K.QUOTA_UNKNOWN


# -- what is written down ----------------------------------------------------------------------------------------------


@forms
def test_a_name_without_end_is_cut_to_what_a_document_bears(form: str) -> None:
    body = answer(form, B64)
    target = body["response"] if form == "batch" else body
    target |= dict.fromkeys(("id", "model", "modelVersion", "responseId"), "m\x1b[31m\u202e" * 300_000)
    answered = made(form, body)
    for name in (answered.model, answered.provider_request_id):
        assert len(name) <= 128
        assert name.isprintable()


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"candidatesTokensDetails": [{"modality": 2, "tokenCount": 1120}]}, Usage(image_out=1120)),
        ({"candidatesTokensDetails": [{"modality": "MODALITY_IMAGE", "tokenCount": "1120"}]}, Usage(image_out=1120)),
        ({"candidatesTokenCount": 1120, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}] * 2},
         Usage(image_out=1120)),
        ({"candidatesTokenCount": 2240, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}] * 2},
         Usage(image_out=2240)),
        ({"candidatesTokenCount": 5, "candidatesTokensDetails":
          [{"modality": "IMAGE", "tokenCount": 1120}, {"modality": "TEXT", "tokenCount": 40}]},
         Usage(image_out=1120, text_out=40)),
        ({"candidatesTokenCount": -3, "thoughtsTokenCount": 210.0}, Usage(thought=210)),
        ({"promptTokenCount": 100, "thoughtsTokenCount": 20, "totalTokenCount": 1240}, Usage(100, 0, 1120, 0, 20)),
        ({"prompt_token_count": 7, "candidates_token_count": 9}, Usage(text_in=7, text_out=9)),
        ({"promptTokenCount": None, "candidatesTokensDetails": None}, None),
        ({"candidatesTokenCount": "many"}, None),
        ({}, Usage()),
        (None, None),
    ],
)  # fmt: skip
def test_tokens_are_counted_however_they_are_written(usage: Any, expected: Usage | None) -> None:
    body = a_content(gc_part(B64)) | {"usageMetadata": usage}
    assert made("generateContent", body).usage == expected


# -- answers, damaged at random ----------------------------------------------------------------------------------------

NEEDED = {
    "steps", "outputs", "content", "candidates", "parts", "inlineData", "data", "b64_json", "choices", "message",
    "images", "image_url", "url", "response", "key",
}  # fmt: skip
"""Members that lead to the picture: everything else may be dropped, or be of any type."""
NEVER = {"role", "type", "thought"}
"""They say that a part is no answer of the model's: only dropped or null."""
ODD = st.sampled_from(
    [None, 0, 7, -1, 1.5, True, "", "x", "STOP", [], {}, [None], {"a": None}, "\ud83d\ude00" * 40]
).map(copy.deepcopy)


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects_in(inner)
    if isinstance(value, list):
        for inner in value:
            yield from objects_in(inner)


def mutate(draw: st.DataObject, body: Any, part: Callable[..., dict[str, Any]], lists: list[list[Any]]) -> None:
    target = draw.draw(st.sampled_from(list(objects_in(body))))
    free = sorted(set(target) - NEEDED)
    match draw.draw(st.sampled_from(["drop", "odd", "add", "empty part", "reorder"])):
        case "drop" if free:
            del target[draw.draw(st.sampled_from(free))]
        case "odd" if free:
            name = draw.draw(st.sampled_from(free))
            target[name] = None if name in NEVER else draw.draw(ODD)
        case "add":
            target[draw.draw(st.sampled_from(["extra", "annotations", "logprobs", "error", "errors"]))] = draw.draw(ODD)
        case "empty part":
            target_list = draw.draw(st.sampled_from(lists))
            odd_part = draw.draw(st.sampled_from([None, {}, {"text": None}, part(""), part(None), "x", part("AAAA")]))
            target_list.insert(draw.draw(st.integers(0, len(target_list))), odd_part)
        case "reorder":
            items = list(target.items())
            target.clear()
            target.update(draw.draw(st.permutations(items)))
        case _:
            pass


def lists_of(form: str, body: Any) -> list[list[Any]]:
    """The lists that parts stand in."""
    match form:
        case "interactions":
            return [body["steps"], body["steps"][-1]["content"]]
        case "generateContent" | "batch":
            inner = body.get("response", body)
            return [inner["candidates"][0]["content"]["parts"]]
        case "chat":
            return [body["choices"][0]["message"]["images"]]
        case _:
            return [body["data"]]


@forms
@given(draw=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_change_that_leaves_a_whole_picture_loses_it_or_books_it_as_nothing(form: str, draw: st.DataObject) -> None:
    build, part, _ = FORMS[form]
    led = {"a data URL in capitals", "a data URL"} if form == "chat" else set()
    written = draw.draw(st.sampled_from(sorted(set(ENCODINGS) - led)))
    body = copy.deepcopy(build(part(ENCODINGS[written](B64))))
    lists = lists_of(form, body)
    for _ in range(draw.draw(st.integers(0, 6))):
        mutate(draw, body, part, lists)
    data = json.dumps(body).encode()
    if form != "batch" and draw.draw(st.booleans()):
        data = sse(body)
    answered = made(form, data)
    for number in (answered.usage and [getattr(answered.usage, name) for name in Usage.__struct_fields__]) or []:
        assert number >= 0
    cost = price.of_made(a_catalogue(), answered.usage, PRO, "standard", PRO, "1K")
    assert cost.micros > 0


COUNTED: st.SearchStrategy[Any] = st.sampled_from([None, 0, 5, 1120, "1120", 2240.0, -1, "x", [], {}])


@given(
    usage=st.dictionaries(
        st.sampled_from([*USAGE, *USAGE_GC, "other"]),
        COUNTED
        | st.lists(
            st.fixed_dictionaries({"modality": st.sampled_from(["IMAGE", "TEXT", 1, 2, None]), "tokenCount": COUNTED}),
            max_size=3,
        ),
    )
)
@settings(max_examples=300, deadline=None)
def test_no_usage_makes_a_charged_answer_free(usage: dict[str, Any]) -> None:
    answered = made("generateContent", a_content(gc_part(B64)) | {"usageMetadata": usage})
    cost = price.of_made(a_catalogue(), answered.usage, PRO, "standard", PRO, "1K")
    assert cost.micros > 0
    assert all(part >= 0 for part in cost.parts.values())


@forms
@given(body=st.binary(max_size=300) | st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(sorted(NEEDED | NEVER | {"error", "usage", "status", "delta", "text"})), inner, max_size=4),
    max_leaves=20,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_an_answer(form: str, body: bytes) -> None:
    assert not isinstance(read(form, body), Made)
