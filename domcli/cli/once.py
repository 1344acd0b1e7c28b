"""Commands that refuse an option with a value that is given twice: the second would silently replace the first."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

UsageError: Any = typer.BadParameter.__bases__[0]
"""What Typer raises for a command line that it cannot read."""


class OnceCommand(typer.core.TyperCommand):
    """A command whose options are given once each, unless they take several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line (see the base class). Raises UsageError for an option that is there twice."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for parameter in given:
                takes_one = getattr(parameter, "is_flag", None) is False and not parameter.multiple
                if takes_one and given.count(parameter) > 1:
                    raise UsageError(f"{parameter.opts[0]} is given more than once; give it once", ctx=ctx)
        return super().parse_args(ctx, args)
