"""One picture of everything that came out: a thumbnail a request, a grey card where there is no image."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont

from scripts.cli.data.see.requests import RejectedMessage, StoredRequest
from scripts.cli.views.see.request_view import cost, route
from shared.ports.images import Images

COLUMNS = 7
CARD_WIDTH, PICTURE_HEIGHT, CAPTION_HEIGHT = 280, 200, 66
GAP, HEAD = 16, 84
GROUND, CARD, GREY, FRAME = (238, 241, 240), (255, 255, 255), (222, 226, 225), (212, 219, 217)
INK, PALE, WARNING = (26, 38, 36), (98, 112, 109), (150, 88, 10)


class Card(Struct, frozen=True):
    name: str
    status: str
    about: str
    price: str
    image: bytes | None


async def save(
    requests: Sequence[StoredRequest | RejectedMessage], images: Images, path: Path, *, title: str, note: str, cut: str
) -> Path:
    """Writes a JPEG. Raises ImagesUnavailable."""
    cards = [await _card(item, images, cut) for item in requests]
    picture = await asyncio.to_thread(draw, cards, title, note)
    path.parent.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(picture.save, path, "JPEG", quality=90)
    return path


async def _card(rejection: StoredRequest | RejectedMessage, images: Images, cut: str) -> Card:
    name = (rejection.request_id or "(no id)").removeprefix(cut)
    if isinstance(rejection, RejectedMessage):
        problems = rejection.record.problems
        return Card(name, rejection.status, problems[0].field if problems else "", "", None)
    if not rejection.attempts:
        return Card(name, rejection.status, "not begun", cost(rejection.record), None)
    uri = rejection.record.image_uri
    about = f"{route(rejection.record.route)} · {rejection.delivered_size or rejection.asked_size}"
    return Card(
        name, rejection.status, about, cost(rejection.record), _thumbnail(await images.read(uri)) if uri else None
    )


def _thumbnail(encoded: bytes) -> bytes:
    """Small at once: thirty full images would be hundreds of megabytes."""
    with Image.open(io.BytesIO(encoded)) as opened:
        opened.draft("RGB", (2 * CARD_WIDTH, 2 * PICTURE_HEIGHT))
        picture = opened.convert("RGB")
    picture.thumbnail((CARD_WIDTH, PICTURE_HEIGHT), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    picture.save(small, "PNG")
    return small.getvalue()


def draw(cards: Sequence[Card], title: str, note: str) -> Image.Image:
    rows = -(-len(cards) // COLUMNS)
    width = COLUMNS * (CARD_WIDTH + GAP) + GAP
    height = HEAD + rows * (PICTURE_HEIGHT + CAPTION_HEIGHT + GAP) + GAP
    sheet = Image.new("RGB", (width, height), GROUND)
    canvas = ImageDraw.Draw(sheet)
    canvas.text((GAP, 18), title, INK, _font(24))
    canvas.text((GAP, 52), note, WARNING, _font(18))
    for number, card in enumerate(cards):
        row, column = divmod(number, COLUMNS)
        x = GAP + column * (CARD_WIDTH + GAP)
        y = HEAD + row * (PICTURE_HEIGHT + CAPTION_HEIGHT + GAP)
        _place(sheet, canvas, card, x, y)
    return sheet


def _place(sheet: Image.Image, canvas: ImageDraw.ImageDraw, card: Card, x: int, y: int) -> None:
    right, bottom = x + CARD_WIDTH - 1, y + PICTURE_HEIGHT + CAPTION_HEIGHT - 1
    canvas.rectangle((x, y, right, bottom), CARD, FRAME)
    canvas.rectangle((x + 1, y + 1, right - 1, y + PICTURE_HEIGHT), GROUND if card.image else GREY)
    middle = (x + CARD_WIDTH // 2, y + PICTURE_HEIGHT // 2)
    if card.image is None:
        canvas.text(middle, card.status, PALE, _font(26), anchor="mm")
    else:
        with Image.open(io.BytesIO(card.image)) as thumbnail:
            sheet.paste(thumbnail, (middle[0] - thumbnail.width // 2, middle[1] - thumbnail.height // 2 + 1))
    price = _font(17)
    canvas.text((right - 10, y + PICTURE_HEIGHT + 11), card.price, INK, price, anchor="ra")
    room = CARD_WIDTH - 30 - canvas.textlength(card.price, price)
    _write(canvas, (x + 10, y + PICTURE_HEIGHT + 11), card.name, INK, _font(17), room)
    _write(canvas, (x + 10, y + PICTURE_HEIGHT + 37), card.about, PALE, _font(14), CARD_WIDTH - 20)


def _write(
    canvas: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    ink: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    room: float,
) -> None:
    """Cut where it is too long."""
    shown = text
    while shown and canvas.textlength(shown if shown == text else f"{shown}…", font) > room:
        shown = shown[:-1]
    canvas.text(at, shown if shown == text else f"{shown}…", ink, font)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
