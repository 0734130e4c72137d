"""Pictures inside the page: data URIs, which need no request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable


class Pictures:
    """Thumbnails as data URIs; each is asked for once."""

    def __init__(self, thumb: Callable[[str], bytes | None]) -> None:
        self.thumb = thumb
        self.known: dict[str, str | None] = {}

    def __call__(self, sample_id: str) -> str | None:
        if sample_id not in self.known:
            content = self.thumb(sample_id)
            self.known[sample_id] = None if content is None else data_uri(content)
        return self.known[sample_id]


def data_uri(content: bytes) -> str:
    """A picture as an address that needs no request; its kind is told from its first bytes."""
    kinds = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"RIFF": "webp", b"GIF8": "gif"}
    kind = next((kind for start, kind in kinds.items() if content.startswith(start)), "jpeg")
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
