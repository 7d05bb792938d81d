"""Reports in a real browser: drawn, readable, offline, printed whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("selenium")

from selenium import webdriver

from touchpoint_lib.report import run
from touchpoint_lib.report.exporter import TouchpointExporter

from .browser import chromium, emulate, inspect_report, open_report, require_browser, resize
from .samples import full_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def reports_to_inspect() -> list[Path]:
    """Return the reports of TOUCHPOINT_REPORTS, or else the bundled notebooks."""
    folder = os.environ.get("TOUCHPOINT_REPORTS")
    if folder:
        return sorted(Path(folder).glob("*.html")) or [Path(folder) / "(no report)"]
    return sorted(run.notebooks_folder().glob("*.ipynb"))


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    require_browser()
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of the notebook that has one of everything."""
    page, _ = TouchpointExporter(date="2024-01-31").from_notebook_node(full_notebook())
    path = tmp_path_factory.mktemp("report") / "full.html"
    path.write_text(page, encoding="utf-8")
    return path


def test_nothing_is_wrong_with_the_full_report(
    driver: webdriver.Chrome, report: Path, tmp_path: Path
) -> None:
    assert inspect_report(driver, report, tmp_path) == []
    assert driver.title == "Who is still a customer, and who only looks like one?"


@pytest.mark.parametrize("path", reports_to_inspect(), ids=lambda path: path.stem)
def test_nothing_is_wrong_with_the_bundled_reports(
    driver: webdriver.Chrome, path: Path, tmp_path: Path
) -> None:
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        path = tmp_path / f"{path.stem}.html"
        page, _ = TouchpointExporter().from_notebook_node(notebook)
        path.write_text(page, encoding="utf-8")
    assert path.exists(), f"no report in {path.parent}"
    assert inspect_report(driver, path, tmp_path) == []


def test_nothing_is_wrong_with_the_index(driver: webdriver.Chrome, tmp_path: Path) -> None:
    reports = [run.Report(tmp_path / "01.html", "Who? " * 20, "All of them. " * 20)] * 3
    page = run.write_index(reports, tmp_path, "log.csv")
    assert inspect_report(driver, page, tmp_path) == []


def test_the_inspection_finds_what_is_wrong(driver: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<html data-ready=true><style>@page{size:A4;margin:16mm}</style>"
        "<body style='background:#fff'>"
        "<div class=chart id=chart-1></div>"
        "<p style='width:1500px; background:#eee; color:#ddd'>pale and wide</p>"
        "<h1>Title</h1><img src='http://x.example/a.png'>"
    )
    findings = " ".join(inspect_report(driver, page, tmp_path))
    for kind in (
        "chart not drawn",
        "wider than 1280",
        "wider than 400",
        "wider than A4",
        "too little contrast",
        "shrunk on paper",
        "not dark",
        "request: http://x.example/a.png",
        "console",
    ):
        assert kind in findings


def test_the_slider_switches_the_series(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report)
    box = driver.find_elements("css selector", ".chart")[1]
    driver.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", box)
    step = box.find_elements("css selector", ".slider-label")[-1]
    shown = "return arguments[0].data.map(trace => trace.visible)"
    assert driver.execute_script(shown, box) == [True, False]
    webdriver.ActionChains(driver).move_to_element(step).click().perform()
    grip = box.find_element("css selector", ".slider-grip-rect")
    webdriver.ActionChains(driver).drag_and_drop(grip, step).perform()
    deadline = time.monotonic() + 10
    while driver.execute_script(shown, box) != [False, True] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert driver.execute_script(shown, box) == [False, True]


def test_one_button_shows_and_hides_all_code(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report)
    cells = driver.find_elements("css selector", "details.code .highlight")
    button = driver.find_element("id", "code-toggle")
    assert not any(cell.is_displayed() for cell in cells)
    button.click()
    assert all(cell.is_displayed() for cell in cells)
    assert button.text == "Hide code"
    width = driver.execute_script("return document.documentElement.scrollWidth")
    assert width == 1280  # the long line scrolls inside its cell
    button.click()
    assert not any(cell.is_displayed() for cell in cells)


def test_the_contents_stay_in_view_and_mark_the_section(
    driver: webdriver.Chrome, report: Path
) -> None:
    open_report(driver, report)
    driver.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    links = driver.find_elements("css selector", "#contents a")
    driver.execute_script("arguments[0].click()", links[4])
    top = "return arguments[0].getBoundingClientRect().top"
    target = driver.find_element("id", "客户分层-2")
    assert 0 <= driver.execute_script(top, target) < 900
    assert 0 <= driver.execute_script(top, links[0]) < 300
    deadline = time.monotonic() + 5
    while not links[4].get_attribute("aria-current") and time.monotonic() < deadline:
        time.sleep(0.05)
    marked = [link.text for link in links if link.get_attribute("aria-current")]
    assert marked == ["客户分层"]


def test_charts_follow_the_width_of_the_window(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report)
    width = "return document.querySelector('svg.main-svg').getBoundingClientRect().width"
    assert driver.execute_script(width) == 900
    resize(driver, 728)
    deadline = time.monotonic() + 10
    while driver.execute_script(width) > 680 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert driver.execute_script(width) == 680


def test_charts_turn_dark_with_the_page(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report)
    emulate(driver, dark=True)
    style = "return getComputedStyle(document.querySelector('.chart')).filter"
    assert "invert" in driver.execute_script(style)
    emulate(driver, dark=True, media="print")
    assert driver.execute_script(style) == "none"
    emulate(driver)
