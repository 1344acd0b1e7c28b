"""What can go wrong in a comparison in a way a person can mend."""

from __future__ import annotations

from domcli.errors import DomcliError


class ComparisonError(DomcliError):
    """A comparison was asked for in a way that cannot be done: names what is wrong and what would be right."""


class NothingCountsError(DomcliError):
    """None of the runs counts: says why one of them does not."""

    exit_code = 1


class FailedAssertion(DomcliError):
    """What `--assert` expects of the results does not hold: names both numbers."""

    exit_code = 1
