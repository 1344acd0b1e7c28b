"""Settings that name an entry of the catalogue: which names are allowed there, and the check that they are.

Pydantic is loaded where the check is built, so that the catalogue stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domcli.catalogue.entry import Entry, Kind
from domcli.catalogue.packages import packaged

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, ValidationInfo
    from pydantic_core import CoreSchema

UNKNOWN_TOO = "names that the catalogue lacks are accepted, too"
"""In the context of a validation: whatever made these settings knew the names, perhaps from an extension."""


def _any(entry: Any) -> bool:
    del entry
    return True


@dataclass(frozen=True)
class Choice:
    """What a setting may be: the name of an entry of a kind, of those that fit. Stands in the setting's annotation."""

    kind: Kind[Any]
    fits: Callable[[Any], bool] = _any

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries that may be named, in their order."""
        return tuple(entry for entry in self.kind if self.fits(entry))

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(entry.name for entry in self.entries)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check of a value."""
        del source, handler
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(self._checked)

    def _checked(self, value: object, info: ValidationInfo) -> str:
        from pydantic_core import PydanticKnownError

        unknown_too = isinstance(info.context, dict) and UNKNOWN_TOO in info.context
        known = unknown_too or value in self.names or (isinstance(value, str) and value in packaged(self.kind))
        if not isinstance(value, str) or not known:
            raise PydanticKnownError("literal_error", {"expected": ", ".join(self.names)})
        return value
