"""How the tests of the checks look at them."""

from __future__ import annotations

from domcli.checks.check import Check


def by_name(checks: list[Check]) -> dict[str, Check]:
    """Return the checks by their names, which are unique; what is not well has a remedy."""
    found = {check.name: check for check in checks}
    assert len(found) == len(checks)
    assert all(check.remedy for check in checks if check.status != "ok")
    return found
