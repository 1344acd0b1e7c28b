"""What the numbers in a file may be, so that everything that is read can be shown: msgspec checks them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

LAST_SECOND = 253_402_300_799.0
"""The end of the year 9999, in seconds since 1970."""

Seconds = Annotated[float, Meta(ge=0, le=LAST_SECOND)]
"""A moment, in seconds since 1970, or how long something took."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0)]
