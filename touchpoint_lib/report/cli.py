"""The command line ``touchpoint``: run notebooks to reports, list them, check a purchase log.

Exit codes: 0 done; 1 a notebook failed or the log has faults; 2 usage, or input to be mended.
"""

from __future__ import annotations

import argparse
import glob
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from touchpoint_lib._version import __version__
from touchpoint_lib.report import run
from touchpoint_lib.report._options import OPTIONS, Value, as_option, as_options

#: Options without which an experiment cannot be read, and what they say.
_NEEDED = {
    "arm": "the column with the arms",
    "control": "the value of the control arm",
    "outcome": "the columns with the outcomes",
}
#: What the input of each kind is called in messages.
_SUBJECTS = {
    "transactions": "your own data",
    "data": "an experiment",
    "contacts": "a contact log",
}
_FAULTS = (
    "null_customer",
    "null_time",
    "null_amount",
    "null_discount",
    "future_rows",
    "negative_amount",
)

_REPORT_EXAMPLES = """examples:
  touchpoint report
      every bundled notebook on its bundled data, into ./reports
  touchpoint report segmentation timing --output monday
      two of them, named by a part of their names
  touchpoint report --transactions log.csv --customer client --time bought_on --amount eur
      on your own purchase log; notebooks that need more than the log are skipped and named
  touchpoint report campaign --data test.csv --arm group --control holdout --outcome visit spend
      on your own experiment, a row a customer
  touchpoint report touchpoints --contacts sent.csv --transactions log.csv --margin 0.3
      on your own contact log and purchase log, with the share of the amount that is earned
"""
_CHECK_EXAMPLES = """examples:
  touchpoint check log.csv
  touchpoint check log.parquet --customer client --time bought_at --amount eur --tz Europe/Berlin

exit code: 0 without faults; 1 with rows that lack a customer, a time or an amount, lie in the
future or have a negative amount; 2 where the file cannot be used
"""


def build_parser(inputs: Sequence[str] = ("transactions",)) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Parameters
    ----------
    inputs
        The inputs that the notebooks take; each is an option of ``touchpoint report``.

    Examples
    --------
    >>> build_parser().parse_args(["report", "--transactions", "log.csv"]).transactions
    'log.csv'
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="touchpoint",
        description="Customer lifetime, churn, timing and campaigns: reports from a purchase log.",
        epilog="touchpoint COMMAND --help shows the options and examples of a command",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"touchpoint_lib {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    report = commands.add_parser(
        "report",
        help="run notebooks and write one HTML file each",
        description="Run the bundled notebooks and write a report each, and an index of them.",
        epilog=_REPORT_EXAMPLES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    report.add_argument(
        "names", nargs="*", metavar="NAME", help="part of a notebook's name; none means all"
    )
    own = report.add_argument_group("your own data (never mixed with bundled data)")
    files = {
        "transactions": "the purchase log: CSV or Parquet",
        "data": "the experiment, a row a customer: CSV or Parquet",
        "contacts": "the contact log, a row a contact or one held out: CSV or Parquet",
    }
    for name in inputs:
        own.add_argument(f"--{name}", metavar="FILE", help=files.get(name, f"the {name} file"))
    _add_columns(own)
    own.add_argument("--unit", choices=("D", "W"), help="time unit: days or weeks")
    own.add_argument("--split", metavar="DATE", help="end of the calibration part")
    own.add_argument(
        "--on-bad", choices=("raise", "drop"), help="rows that lack a value or lie in the future"
    )
    own.add_argument(
        "--returns", choices=("raise", "drop", "net"), help="rows with a negative amount"
    )
    if "data" in inputs:
        _add_experiment(report.add_argument_group("your own experiment (with --data)"))
    if "contacts" in inputs:
        _add_contacts(report.add_argument_group("your own contact log (with --contacts)"))
    if {"data", "contacts"} & set(inputs):
        _add_outcome(report.add_argument_group("what counts (with --data or --contacts)"))
    report.add_argument(
        "--output", metavar="DIR", default="reports", help="folder to write to (reports)"
    )
    report.add_argument("--format", choices=("html",), default="html", help="html, the only one")

    commands.add_parser("list", help="list the notebooks, their questions and their inputs")

    check = commands.add_parser(
        "check",
        help="count what is wrong with a purchase log",
        description="Read a purchase log and print what is in it and what is wrong with it.",
        epilog=_CHECK_EXAMPLES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    check.add_argument(
        "file", metavar="FILE", help="the purchase log: CSV or Parquet, or a pattern"
    )
    _add_columns(check)
    check.set_defaults(customer="customer_id", time="date", amount="amount")
    return parser


def _add_columns(group: argparse._ActionsContainer) -> None:
    """Add the options that say what a purchase log's columns mean."""
    group.add_argument("--customer", metavar="COL", help="column with the customer (customer_id)")
    group.add_argument("--time", metavar="COL", help="column with the time of purchase (date)")
    group.add_argument("--amount", metavar="COL", help="column with the amount (amount)")
    group.add_argument("--order", metavar="COL", help="column with the order's number")
    group.add_argument("--discount", metavar="COL", help="column with the discount")
    group.add_argument("--until", metavar="DATE", help="last day of the observation")
    group.add_argument("--tz", metavar="ZONE", help="time zone of the purchase days")


def _add_experiment(group: argparse._ActionsContainer) -> None:
    """Add the options that say what an experiment's columns mean, and its money."""
    group.add_argument("--arm", metavar="COL", help="column with the arm of each row")
    group.add_argument("--control", metavar="VALUE", help="value of the control arm")
    for name, text in (
        ("outcome", "columns with the outcomes; may be repeated"),
        ("covariate", "columns known before the contact, to adjust for"),
        ("segment", "columns by whose values the effect is shown"),
    ):
        group.add_argument(f"--{name}", metavar="COL", nargs="+", action="extend", help=text)
    group.add_argument("--method", metavar="NAME", help="how the effect is estimated")
    group.add_argument("--cluster", metavar="COL", help="column whose rows belong together")
    group.add_argument("--money", metavar="COL", help="outcome that is money")
    group.add_argument("--contact-cost", metavar="NUMBER", type=_number, help="cost of a contact")
    group.add_argument("--discount-cost", metavar="COL", help="column with what was given away")
    group.add_argument("--cycle", metavar="DAYS", type=_number, help="days of one repurchase cycle")


def _add_contacts(group: argparse._ActionsContainer) -> None:
    """Add the options that say what a contact log's columns mean."""
    for name, text in (
        ("contact-time", "column with the time of the contact (time)"),
        ("channel", "column with the channel (channel)"),
        ("campaign", "column with the campaign"),
        ("held-out", "column that is true where the contact was withheld by lot (held_out)"),
        ("cost", "column with what the contact cost (cost)"),
        ("coupon", "column with the depth of its coupon"),
        ("opened", "column that is true where it was opened"),
        ("clicked", "column that is true where it was clicked"),
        ("unsubscribed", "column that is true where it made the customer leave the channel"),
    ):
        group.add_argument(f"--{name}", metavar="COL", help=text)


def _add_outcome(group: argparse._ActionsContainer) -> None:
    """Add the options of money and of the window in which it is counted."""
    group.add_argument(
        "--margin", metavar="NUMBER", type=_number, help="share of the money that is earned"
    )
    group.add_argument(
        "--window", metavar="DAYS", type=_number, help="days over which outcomes are counted"
    )


def _number(text: str) -> float:
    """Return a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write one such as 0.5 or 90")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv
        The arguments; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Only `report` takes options that depend on the notebooks: the others need not read them.
        books = run.find_notebooks() if "report" in arguments[:1] else []
        inputs = dict.fromkeys(["transactions", *(name for book in books for name in book.inputs)])
        options = build_parser(list(inputs)).parse_args(arguments)
        if options.command == "report":
            code = _report(options, books, list(inputs))
        else:
            code = _list() if options.command == "list" else _check(options)
        sys.stdout.flush()
    except run.UsageError as error:
        print(f"touchpoint: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has enough; without stdout Python has nothing to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # What a notebook meets is told in its own line: this is a report that cannot be written.
        print(f"touchpoint: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("touchpoint: interrupted", file=sys.stderr)
        return 130
    return code


def _report(options: argparse.Namespace, books: list[run.Notebook], known: list[str]) -> int:
    """Run notebooks, write their reports and the index."""
    inputs = {name: getattr(options, name) for name in known if getattr(options, name) is not None}
    described: dict[str, Value] = {
        name: getattr(options, name)
        for name in dict.fromkeys(name for names in OPTIONS.values() for name in names)
        if getattr(options, name, None) is not None
    }
    for subject, names in OPTIONS.items():
        # What describes several inputs needs one of them.
        described_too = {name for one in inputs for name in OPTIONS.get(one, ())}
        lone = [name for name in names if name in described and name not in described_too]
        if lone and subject not in inputs:
            listed = ", ".join(as_option(name) for name in lone)
            raise run.UsageError(
                f"{listed}: these describe {_SUBJECTS[subject]}; give --{subject} FILE too"
            )
    missing = [name for name in _NEEDED if "data" in inputs and name not in described]
    if missing:
        listed = " and ".join(f"{as_option(name)} ({_NEEDED[name]})" for name in missing)
        raise run.UsageError(f"--data needs {listed} too")
    inputs = {name: str(_readable(path)) for name, path in inputs.items()}
    chosen, skipped = run.runnable(
        run.select(books, options.names), inputs, named=bool(options.names)
    )
    parameters = {book.name: run.parameters_of(book, inputs, described) for book in chosen}
    output = run.prepare_output(Path(options.output))
    for line in skipped:
        print(f"touchpoint: skipped {line}", file=sys.stderr)
    reports, refused, failed = run.run_reports(chosen, parameters, output)
    if reports:
        source = ", ".join(Path(path).name for path in inputs.values())
        index = run.write_index(reports, output, source)
        count = "1 report" if len(reports) == 1 else f"{len(reports)} reports"
        print(f"{count} in {output}: open {index}")
    # What the reader cannot mend weighs more than what they can.
    return 1 if failed else 2 if refused else 0


def _readable(path: str) -> Path:
    """Return the absolute path of an input that can be read, or a pattern of such paths."""
    file = Path(path).absolute()
    if any(sign in path for sign in "*?[") and glob.glob(path):  # noqa: PTH207 (absolute too)
        return file
    if not file.exists():
        raise run.UsageError(f"there is no file {path}; check the path")
    if not os.access(file, os.R_OK):
        raise run.UsageError(f"{path} cannot be read; check its permissions")
    return file


def _list() -> int:
    """Print each notebook's name, what own data it needs, and its question."""
    rows = [("notebook", "own data", "question")]
    for book in run.find_notebooks():
        needs = " ".join(f"--{name}" for name in book.inputs) or "-"
        rows.append((book.name, needs, book.question))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, needs, question in rows:
        print(f"{name:<{widths[0]}}  {needs:<{widths[1]}}  {question}".rstrip())
    return 0


def _check(options: argparse.Namespace) -> int:
    """Print the data report of a purchase log."""
    path = _readable(options.file)
    from touchpoint_lib._checks import InputError
    from touchpoint_lib.data.transactions import check_transactions

    try:
        report = check_transactions(
            path,
            customer=options.customer,
            time=options.time,
            amount=options.amount,
            until=options.until,
            order=options.order,
            tz=options.tz,
            discount=options.discount,
        )
    except InputError as error:
        raise run.UsageError(f"{path.name}: {as_options(str(error))}") from None
    print(report)
    return 1 if any(getattr(report, fault) for fault in _FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())
