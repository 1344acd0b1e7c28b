"""What this terminal can show: colours, characters, size."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Mapping

from domcli.checks.check import Check

COLUMNS, LINES = 80, 24
TRUECOLOR = "truecolor"
# As the libraries that draw judge a terminal (rich, textual): by COLORTERM, else by how TERM ends.
TERM_ENDINGS = {"256color": "256", "kitty": "256", "direct": TRUECOLOR, "truecolor": TRUECOLOR}


def check(
    environment: Mapping[str, str],
    size: tuple[int, int] | None,
    ask_tmux: Callable[[], tuple[str, bool] | None] | None = None,
) -> list[Check]:
    """Check the terminal; `size` is columns and lines, None where the output goes elsewhere.

    `ask_tmux` returns the features of the terminal around tmux and whether tmux passes the mouse on, None if it does
    not answer.
    """
    if size is None:
        return [Check("terminal", "ok", "none: the output goes to a pipe or a file")]
    term = environment.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        text = f"TERM={term or '(not set)'}: domcli can only print lines here, without colours"
        remedy = "in a terminal that can do more, say so: export TERM=xterm-256color"
        return [Check("terminal", "warning", text, remedy, {"TERM": term}), _characters(environment), _size(size)]
    shown = [Check("terminal", "ok", f"TERM={term}", None, {"TERM": term}), _colours(environment)]
    shown += [_characters(environment), _size(size)]
    if environment.get("TMUX"):
        shown.append(_tmux(colours(environment), (ask_tmux or tmux_features)()))
    elif environment.get("STY") and colours(environment) == TRUECOLOR:
        text = "GNU screen passes truecolor on only if told to"
        shown.append(Check("screen", "warning", text, "write `truecolor on` in ~/.screenrc (screen 5), or use tmux"))
    return shown


def colours(environment: Mapping[str, str]) -> str:
    """Return how many colours there are: `truecolor`, `256`, `16` or `none`."""
    term = environment.get("TERM", "")
    if environment.get("NO_COLOR") or term in ("", "dumb", "unknown"):
        return "none"
    if environment.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return TRUECOLOR
    return TERM_ENDINGS.get(term.rpartition("-")[2], "16")


def is_utf8(environment: Mapping[str, str]) -> bool:
    """Tell whether the locale's characters are UTF-8."""
    # LC_ALL goes before LC_CTYPE, and that before LANG. Python itself writes C.UTF-8 into LC_CTYPE where the locale
    # is C, which says nothing of the terminal.
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or ""
    if locale.lower() in ("c.utf-8", "c.utf8") and not environment.get("LC_ALL"):
        locale = environment.get("LANG") or ""
    return locale.lower().replace("-", "").partition("@")[0].endswith("utf8")


def tmux_features() -> tuple[str, bool] | None:
    """Ask tmux what the terminal around it can do, and whether tmux passes the mouse on; None without an answer."""
    command = ["tmux", "display-message", "-p", "#{client_termfeatures} #{mouse}"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(command, capture_output=True, text=True, timeout=2.0, check=True).stdout
        features, _, mouse = answer.strip("\n").rpartition(" ")
        return features, mouse == "1"
    return None


def _colours(environment: Mapping[str, str]) -> Check:
    found = colours(environment)
    if found == "16":
        remedy = "if your terminal has more: export COLORTERM=truecolor"
        return Check("colours", "warning", "16, too few to tell the curves of many runs apart", remedy, {"colours": 16})
    text = "off, because NO_COLOR is set" if found == "none" else found
    return Check("colours", "ok", text, None, {"colours": found})


def _characters(environment: Mapping[str, str]) -> Check:
    if is_utf8(environment):
        return Check("characters", "ok", "UTF-8")
    locale = environment.get("LC_ALL") or environment.get("LANG") or "not set"
    text = f"the locale is not UTF-8 ({locale}): lines and symbols of the dashboard may be garbled"
    return Check("characters", "warning", text, "export LANG=C.UTF-8, and unset LC_ALL")


def _size(size: tuple[int, int]) -> Check:
    columns, lines = size
    details = {"columns": columns, "lines": lines}
    if columns < COLUMNS or lines < LINES:
        remedy = f"make the window at least {COLUMNS} x {LINES}"
        return Check("size", "warning", f"{columns} x {lines} is small for the dashboard", remedy, details)
    return Check("size", "ok", f"{columns} x {lines}", None, details)


def _tmux(found: str, answer: tuple[str, bool] | None) -> Check:
    if answer is None:
        return Check("tmux", "ok", "this is tmux, which does not say what the terminal around it can do")
    features, mouse = answer
    clicks = "" if mouse else "; the mouse is off (set -g mouse on)"
    details = {"features": features, "mouse": mouse}
    if found == TRUECOLOR and "RGB" not in features.split(","):
        text = f"tmux does not pass truecolor on{clicks}"
        remedy = "write `set -as terminal-features ',*:RGB'` in ~/.tmux.conf and attach again"
        return Check("tmux", "warning", text, remedy, details)
    return Check("tmux", "ok", f"tmux passes on what domcli draws{clicks}", None, details)
