"""What the process that evaluates tells the command that started it: JSON lines on its stdout."""

from __future__ import annotations

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress", tag_field="kind"):
    """How far an evaluation is: in the stage of this name, `done` of the `images` that it attacks."""

    stage: str
    done: int
    images: int
    correct: int
    """Images that no attack has fooled so far, of the `total` of the evaluation."""
    total: int
    fraction: float
    """Part of the whole work that is done, from 0 to 1, as if no further image were fooled."""
    remaining: float | None
    """Seconds to its end; None while that cannot be told."""


class Refusal(msgspec.Struct, frozen=True, tag="refusal", tag_field="kind"):
    """Why it cannot begin or go on, in a sentence."""

    reason: str


Said = Progress | Refusal
_DECODER: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Progress | Refusal)


def encode(said: Said) -> bytes:
    """Return a line."""
    return msgspec.json.encode(said) + b"\n"


def decode(line: bytes) -> Said | None:
    """Return what a line says, None for what is not meant to be read here, such as the words of a library."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
