"""The options that describe own data, and the library's words for them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

#: A value of an option, as the parameter of a notebook.
Value = str | float | list[str]

#: The options that describe an input; each is the parameter of the same name of a notebook.
OPTIONS: dict[str, tuple[str, ...]] = {
    "transactions": (
        "customer",
        "time",
        "amount",
        "unit",
        "until",
        "split",
        "order",
        "discount",
        "tz",
        "on_bad",
        "returns",
    ),
    "data": (
        "arm",
        "control",
        "outcome",
        "covariate",
        "segment",
        "method",
        "cluster",
        "money",
        "margin",
        "contact_cost",
        "discount_cost",
        "window",
        "cycle",
    ),
    "contacts": (
        "contact_time",
        "channel",
        "campaign",
        "held_out",
        "cost",
        "coupon",
        "opened",
        "clicked",
        "unsubscribed",
        "margin",
        "window",
    ),
}
#: Arguments of the library whose option is called otherwise.
_RENAMED = {
    "outcomes": "outcome",
    "covariates": "covariate",
    "segments": "segment",
    "contact": "contact_cost",
    "discount": "discount_cost",
}
#: What an argument is followed by: a list or a quoted value, or a plain one or none.
_FOLLOWED = r'=(?:(\[[^\]]*\]|"[^"]*")|([^"\s,;]*))'


def as_option(name: str) -> str:
    """Return how the parameter ``name`` is given on the command line."""
    return "--" + name.replace("_", "-")


def as_options(message: str, inputs: Sequence[str] = ("transactions",)) -> str:
    """Return a message of the library in one line, its arguments written as options.

    Parameters
    ----------
    message
        The message.
    inputs
        The inputs it may be about: arguments that no option of theirs stands for are left as they
        are.

    Examples
    --------
    >>> as_options('pass on_bad="drop", or name the column with customer=')
    'pass --on-bad drop, or name the column with --customer'
    >>> as_options('name it once: outcomes=["visit", "spend"]', ["data"])
    'name it once: --outcome visit spend'
    """
    options = {option: option for name in inputs for option in OPTIONS.get(name, ())}
    options = {name: to for name, to in _RENAMED.items() if to in options} | options

    def written(found: re.Match[str]) -> str:
        quoted = re.findall(r"[\"']([^\"']+)[\"']", found[2] or "")
        return f"{as_option(options[found[1]])} {found[3] or ' '.join(map(shlex.quote, quoted))}"

    # There is no option for a log without amounts.
    line = one_line(message).replace(", or pass amount=None", "")
    if options:
        line = re.sub(rf"\b({'|'.join(options)}){_FOLLOWED}", written, line)
    return re.sub(r"(--[\w-]+) (?=[,;.) ]|$)", r"\1", line)


def one_line(text: str) -> str:
    """Return ``text`` on one line, cut where it would fill a screen."""
    line = " ".join(text.split())
    return line if len(line) <= 600 else line[:597] + "..."
