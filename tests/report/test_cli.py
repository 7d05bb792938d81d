"""The command line: every exit code, and what stands on which stream."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from touchpoint_lib import __version__
from touchpoint_lib.report import run
from touchpoint_lib.report.cli import main


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line on stderr of a call that must end with exit code 2."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("touchpoint: ")
    return captured.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"touchpoint_lib {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["check"], ["report", "--unit", "M"]])
@pytest.mark.usefixtures("notebooks")
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


@pytest.mark.usefixtures("notebooks")
def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("report", "check"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"touchpoint {command} " in capsys.readouterr().out.split("examples:")[1]


@pytest.mark.usefixtures("notebooks")
def test_list_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "notebook     own data                   question"
    assert lines[1] == "01_segments  --transactions             Who are our <customers>?"
    assert lines[3] == "03_pressure  --transactions --contacts  Do we write too often?"
    assert lines[4] == "04_broken    -                          Does it fail?"


@pytest.mark.usefixtures("notebooks")
def test_errors_of_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("customer_id,date,amount\n")
    log = ["--transactions", "log.csv"]
    for arguments, message in (
        (["nothing"], "'nothing' fits no notebook; name one of 01_segments, "),
        (["0"], "'0' fits several notebooks"),
        (["--customer", "id", "--on-bad", "drop"], "--customer, --on-bad: these describe your own"),
        (["--contacts", "log.csv", "--tz", "UTC"], "--tz: these describe your own data"),
        (["--transactions", "none.csv"], "there is no file none.csv"),
        (["pressure", *log], "03_pressure: it needs --contacts too"),
        (["broken", *log], "04_broken: it runs on bundled data only"),
        (["segments", *log, "--discount", "off"], "01_segments takes no --discount"),
        (["segments", "--output", "log.csv"], "cannot write to"),
    ):
        assert message in usage_error(capsys, "report", *arguments)
    assert not (tmp_path / "reports").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("notebooks")
def test_own_data_makes_reports_of_what_it_suffices_for(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another python3 in the user's home must not be taken.
    kernel = tmp_path / "home" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x"}))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(kernel.parent.parent))
    (tmp_path / "log.csv").write_text("id,date,amount\n")
    assert main(["report", "--transactions", "log.csv", "--customer", "id"]) == 0

    captured = capsys.readouterr()
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    output = tmp_path / "reports"
    assert captured.out == f"2 reports in {output}: open {output / 'index.html'}\n"
    assert captured.err.splitlines() == [
        "touchpoint: skipped 03_pressure: it needs --contacts too",
        "touchpoint: skipped 04_broken: it runs on bundled data only",
        "touchpoint: skipped 05_slow: it runs on bundled data only",
        "01_segments: report written",
        "02_lifetime: report written",
    ]
    assert sorted(path.name for path in output.iterdir()) == [
        "01_segments.html",
        "02_lifetime.html",
        "index.html",
    ]
    page = (output / "02_lifetime.html").read_text(encoding="utf-8")
    assert f"id, W &amp; {tmp_path / 'log.csv'}" in page
    assert sys.executable in page
    assert "folder touchpoint-" in page
    index = (output / "index.html").read_text(encoding="utf-8")
    assert "Who are our &lt;customers&gt;?" in index
    assert f"id, W &amp; {tmp_path / 'log.csv'}" in index
    assert "log.csv" in index


@pytest.mark.slow
@pytest.mark.usefixtures("notebooks")
def test_refused_input_is_one_line_and_other_notebooks_still_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("id\n")
    assert main(["report", "01", "02", "--transactions", "bad.csv", "--output", "out"]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "touchpoint: 01_segments: column amount is missing; name it with --amount",
        "02_lifetime: report written",
    ]
    assert captured.out.startswith("1 report in ")
    assert not list((tmp_path / "out").glob("*.failed.ipynb"))


@pytest.mark.slow
@pytest.mark.usefixtures("notebooks")
def test_a_failing_notebook_is_named_and_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["report", "broken"]) == 1
    captured = capsys.readouterr()
    kept = tmp_path / "reports" / "04_broken.failed.ipynb"
    assert captured.out == ""
    assert captured.err == (
        "touchpoint: 04_broken: cell [1] raised ZeroDivisionError: division by zero; "
        f"the full traceback is in {kept}\n"
    )
    assert "ZeroDivisionError" in kept.read_text(encoding="utf-8")
    assert not (tmp_path / "reports" / "index.html").exists()


@pytest.mark.usefixtures("notebooks")
def test_whatever_else_stops_a_notebook_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import papermill

    def dies(*_paths: str, **_options: Any) -> None:
        raise RuntimeError("kernel\ndied")

    monkeypatch.setattr(papermill, "execute_notebook", dies)
    assert main(["report", "slow"]) == 1
    assert capsys.readouterr().err == "touchpoint: 05_slow: RuntimeError: kernel died\n"


@pytest.mark.usefixtures("notebooks")
def test_a_report_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import nbformat
    import papermill

    empty = nbformat.v4.new_notebook()
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: empty)
    (tmp_path / "reports" / "05_slow.html").mkdir(parents=True)
    assert "05_slow.html" in usage_error(capsys, "report", "slow")


@pytest.mark.usefixtures("notebooks")
def test_an_interrupt_ends_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_reports", interrupted)
    assert main(["report", "slow"]) == 130
    assert capsys.readouterr().err == "touchpoint: interrupted\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
def test_control_c_stops_a_running_notebook(notebooks: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from touchpoint_lib.report import cli, run;"
        f"run.notebooks_folder = lambda: Path({str(notebooks)!r});"
        "sys.exit(cli.main(['report', 'slow']))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        # The first save after the cell began says that the kernel is up.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            saved = list(tmp_path.glob("touchpoint-*/executed.ipynb"))
            if saved and "start_time" in saved[0].read_text(encoding="utf-8"):
                break
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == "touchpoint: interrupted\n"
    assert not list(tmp_path.glob("touchpoint-*"))


def test_a_reader_that_has_enough_ends_it_quietly(notebooks: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from touchpoint_lib.report import cli, run;"
        f"run.notebooks_folder = lambda: Path({str(notebooks)!r});"
        "sys.exit(cli.main(['list']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


EXPERIMENT = """data = arm = control = method = cluster = money = margin = None
outcome, covariate, segment = [], [], []
contact_cost = discount_cost = window = cycle = None
"""
READS = """from touchpoint_lib._checks import InputError
from touchpoint_lib.report.headline import Headline
if control == "nobody":
    raise InputError('no row is the control; name it with control=, or pass outcomes=["a b"]')
told = [arm, control, outcome, covariate, segment, method, cluster, money, margin, contact_cost]
Headline("Did it pay?", str([*told, discount_cost, window, cycle]))
"""


@pytest.fixture
def experiment(notebooks: Path, tmp_path: Path) -> list[str]:
    """Put a notebook about an experiment beside the others; return what it needs at least."""
    about = {"question": "Did it pay?", "inputs": ["data"]}
    parameters = new_code_cell(EXPERIMENT, metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[parameters, new_code_cell(READS)], metadata={"touchpoint": about})
    nbformat.write(book, notebooks / "06_campaign.ipynb")
    (tmp_path / "test.csv").write_text("group,visit\n")
    (tmp_path / "log.csv").write_text("customer_id,date,amount\n")
    return ["--data", "test.csv", "--arm", "group", "--control", "-1", "--outcome", "visit"]


def run_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the parameters that each notebook of a run is given."""
    given: dict[str, dict[str, Any]] = {}

    def take(_books: Any, parameters: dict[str, dict[str, Any]], _output: Path) -> Any:
        given.update(parameters)
        return [], False, False

    monkeypatch.setattr(run, "run_reports", take)
    assert main(["report", *arguments]) == 0
    return given


def test_an_experiment_is_described_by_options(
    experiment: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {
        "data": str(tmp_path / "test.csv"),
        "arm": "group",
        "control": "-1",
        "outcome": ["visit"],
    }
    assert run_with(monkeypatch, "campaign", *experiment) == {"06_campaign": needed}
    more = ["--outcome", "spend", "buys", "--covariate", "age", "--covariate", "place", "--segment"]
    more += ["kind", "--method", "lin", "--cluster", "shop", "--money", "spend", "--margin", "0.3"]
    more += ["--contact-cost", "1e-1", "--discount-cost", "off", "--window", "14", "--cycle", "60"]
    assert run_with(monkeypatch, "campaign", *experiment, *more)["06_campaign"] == {
        **needed,
        "outcome": ["visit", "spend", "buys"],
        "covariate": ["age", "place"],
        "segment": ["kind"],
        "method": "lin",
        "cluster": "shop",
        "money": "spend",
        "margin": 0.3,
        "contact_cost": 0.1,
        "discount_cost": "off",
        "window": 14.0,
        "cycle": 60.0,
    }


def test_options_go_to_the_notebooks_whose_input_they_describe(
    experiment: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ["--transactions", "log.csv", "--customer", "id", "--unit", "D"]
    given = run_with(monkeypatch, "campaign", "segments", *experiment, *log)
    assert set(given["01_segments"]) == {"transactions", "customer", "unit"}
    assert set(given["06_campaign"]) == {"data", "arm", "control", "outcome"}


def test_errors_of_usage_about_an_experiment(
    capsys: pytest.CaptureFixture[str], experiment: list[str]
) -> None:
    log = ["--transactions", "log.csv"]
    for arguments, message in (
        (["--arm", "x", "--contact-cost", "1"], "--arm, --contact-cost: these describe an experim"),
        ([*log, "--outcome", "x"], "--outcome: these describe an experiment; give --data FILE too"),
        ([*experiment, "--time", "day"], "--time: these describe your own data; give --transac"),
        (experiment[:2], "--data needs --arm (the column with the arms) and --control (the value "),
        (experiment[:6], "--data needs --outcome (the columns with the outcomes) too"),
        (["segments", *experiment], "01_segments: it needs --transactions too"),
        (["segments", "campaign", *log], "06_campaign: it needs --data too"),
        (["--data", "none.csv", *experiment[2:]], "there is no file none.csv"),
    ):
        assert message in usage_error(capsys, "report", *arguments)


@pytest.mark.parametrize("text", ["much", "nan", "inf", ""])
def test_numbers_are_numbers(
    capsys: pytest.CaptureFixture[str], experiment: list[str], text: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", "campaign", *experiment, "--margin", text])
    assert stop.value.code == 2
    assert f"argument --margin: {text!r} is no number; write one" in capsys.readouterr().err


@pytest.mark.usefixtures("notebooks")
def test_without_a_notebook_about_experiments_there_are_no_options_for_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["report", "--arm", "group"])
    assert "unrecognized arguments: --arm" in capsys.readouterr().err


@pytest.mark.slow
def test_an_experiment_makes_a_report(
    capsys: pytest.CaptureFixture[str], experiment: list[str], tmp_path: Path
) -> None:
    more = ["--outcome", "a b", "--margin", "0.3"]
    assert main(["report", "campaign", *experiment, *more]) == 0
    page = (tmp_path / "reports" / "06_campaign.html").read_text(encoding="utf-8")
    told = ["group", "-1", ["visit", "a b"], [], [], None, None, None, 0.3, None, None, None, None]
    assert str(told).replace("'", "&#39;") in page
    refused = [word.replace("-1", "nobody") for word in experiment]
    capsys.readouterr()
    assert "no row is the control; name it with --control, or pass --outcome 'a b'" in usage_error(
        capsys, "report", "campaign", *refused
    )


GOOD = "customer_id,date,amount\na,2024-01-01,5\nb,2024-01-02,0\n"


def test_check_of_a_good_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(GOOD.replace("customer_id", "id"))
    assert main(["check", str(log), "--customer", "id"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rows", "2"]
    assert not any("fault" in line for line in lines)


@pytest.mark.parametrize(
    "row",
    [
        ",2024-01-03,1",
        "c,,1",
        "c,2024-01-03,",
        "c,2999-01-03,1",
        "c,2024-01-03,-1",
    ],
)
def test_check_of_a_log_with_faults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, row: str
) -> None:
    (tmp_path / "log.csv").write_text(f"{GOOD}{row}\n")
    assert main(["check", str(tmp_path / "log.csv")]) == 1
    assert capsys.readouterr().out.splitlines()[0].split() == ["rows", "3"]


def test_check_of_a_discount_without_a_value(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "customer_id,date,amount,off\na,2024-01-01,5,1\nb,2024-01-02,5,\n"
    )
    assert main(["check", str(tmp_path / "log.csv")]) == 0
    assert main(["check", str(tmp_path / "log.csv"), "--discount", "off"]) == 1


def test_check_of_several_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(GOOD)
    assert main(["check", str(tmp_path / "*.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["rows", "4"]


def test_check_of_a_log_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    # The library speaks of arguments, the command line of options.
    assert usage_error(capsys, "check", str(tmp_path / "log.csv"), "--time", "day") == (
        "touchpoint: log.csv: the log has no column 'day' (it has 'customer_id', 'date', "
        "'amount'); name the columns with --customer, --time, --amount\n"
    )
    assert "there is no file" in usage_error(capsys, "check", str(tmp_path / "none.csv"))
    assert "there is no file" in usage_error(capsys, "check", str(tmp_path / "none*.csv"))


def test_the_installed_command() -> None:
    command = Path(sys.executable).with_name("touchpoint")
    if not command.exists():
        pytest.skip("the package is not installed beside this interpreter")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"touchpoint_lib {__version__}\n"
