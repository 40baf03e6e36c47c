"""Prepare recorded images for assistants: check and convert them, and limit their dimensions and file size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Picture

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["LARGEST_BYTES", "LARGEST_SIDE", "find_image_type", "prepare_picture"]

LARGEST_SIDE = 1024
LARGEST_BYTES = 300_000
_MOST_PIXELS = 20_000_000
# Pillow would also open formats that start other programs, such as EPS
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
# one image at a time in one thread, because each thread keeps the memory of its largest image allocated
_decoder = ThreadPoolExecutor(1, "decoder")
_QUALITIES = (85, 60, 35)
_FIRST_BYTES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
# TIFF tags
_TILE_SIZE = (322, 323)
# JPEG markers
_SEQUENTIAL, _SCAN, _WITHOUT_LENGTH = (0xC0, 0xC1), 0xDA, (0x00, 0x01, *range(0xD0, 0xDA), 0xFF)


def find_image_type(content: bytes) -> str:
    """Return an image's MIME type from its first bytes, or "" if assistants do not accept the format."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for mark, kind in _FIRST_BYTES.items() if content.startswith(mark)), "")


def prepare_picture(content: bytes) -> Picture | str:
    """Return the image, scaled down to at most 1,024 pixels per side and 300 KB, or why it cannot be shown.

    If Pillow is not installed, only images within these limits are shown.
    """
    kind = find_image_type(content)
    if find_spec("PIL") is None:
        size = _read_png_size(content) if kind == "image/png" else (0, 0)
        if not kind:
            return gettext(
                "assistants cannot display its format; `pip install 'swanlab-mcp-server[plot]'` "
                "adds the libraries that convert it"
            )
        if len(content) > LARGEST_BYTES or max(size) > LARGEST_SIDE:
            return gettext(
                "it is too large to be shown at full size; `pip install "
                "'swanlab-mcp-server[plot]'` adds the libraries that scale it down"
            )
        return Picture(content, kind)
    return _decoder.submit(copy_context().run, _scale, content, kind).result()


def _scale(content: bytes, kind: str) -> Picture | str:
    from PIL import Image

    try:
        opened = Image.open(BytesIO(content), formats=_FORMATS)
        if kind and len(content) <= LARGEST_BYTES and max(opened.size) <= LARGEST_SIDE:
            opened.load()  # an assistant must not receive a damaged image
            return Picture(content, kind)
        if kind != "image/jpeg" or _has_one_scan(content):
            # a JPEG can be decoded at an eighth of its size; other formats ignore this
            opened.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))
        width, height = _measure(opened)
        if width * height > _MOST_PIXELS:
            return gettext("it has {width} x {height} pixels, more than this server opens", width=width, height=height)
        return _shrink(opened)
    # Pillow's decoders raise many kinds of errors for invalid images
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, Image.DecompressionBombError):
        return gettext("it is damaged or not an image")


def _measure(image: Image.Image) -> tuple[int, int]:
    """Return the width and height in pixels to decode. A TIFF is decoded in tiles that may be larger than the image."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    width, height = (tags.get(tag, 0) for tag in _TILE_SIZE)
    sides = (width if isinstance(width, int) else 0), (height if isinstance(height, int) else 0)
    return max(image.width, sides[0]), max(image.height, sides[1])


def _has_one_scan(content: bytes) -> bool:
    """Return whether the first scan of a JPEG contains all components. If not, Pillow holds the full image in memory.

    Return False for a progressive JPEG and for a file that cannot be parsed.
    """
    offset, components = 2, 0
    while content[offset : offset + 1] == b"\xff" and offset + 9 < len(content):
        marker = content[offset + 1]
        if marker == _SCAN:
            return content[offset + 4] == components
        if marker in _SEQUENTIAL:
            components = content[offset + 9]
        elif marker in _WITHOUT_LENGTH:
            return False
        offset += 2 + int.from_bytes(content[offset + 2 : offset + 4], "big")
    return False


def _shrink(opened: Image.Image) -> Picture:
    from PIL import Image

    image = opened.convert("RGBA" if "transparency" in opened.info or "A" in opened.mode else "RGB")
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    lossless = _save(image, "PNG", optimize=True)
    if len(lossless) <= LARGEST_BYTES:
        return Picture(lossless, "image/png")
    if image.mode == "RGBA":
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    while True:
        for quality in _QUALITIES:
            small = _save(image, "JPEG", quality=quality)
            if len(small) <= LARGEST_BYTES:
                return Picture(small, "image/jpeg")
        image.thumbnail((image.width // 2, image.height // 2))


def _save(image: Image.Image, form: str, **how: Any) -> bytes:
    target = BytesIO()
    image.save(target, form, **how)
    return target.getvalue()


def _read_png_size(content: bytes) -> tuple[int, int]:
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
