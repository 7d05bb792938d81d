"""Open a report in headless Chromium, without a network, and list what is wrong with it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
A4_WIDTH = 673  # CSS pixels between the margins of a printed page

_DRAWN = """
return [...document.querySelectorAll(".chart")].map(chart => {
  const svg = chart.querySelector("svg.main-svg");
  const box = svg ? svg.getBoundingClientRect() : {width: 0, height: 0};
  const marks = chart.querySelectorAll(
    ".trace, .bars .point, .heatmaplayer image, .slice, .funnel, .sankey-link, .indicatorlayer > *,"
    + " .tablelayer > *, .treemaplayer > *"
  );
  return [chart.id, box.width, box.height, marks.length];
});
"""
_TOO_WIDE = """
const limit = arguments[0];
const scrolls = element => {
  for (let up = element.parentElement; up; up = up.parentElement) {
    const flow = getComputedStyle(up).overflowX;
    if (up.closest("svg, math") || flow === "auto" || flow === "scroll" || flow === "hidden")
      return up !== document.body && up !== document.documentElement;
  }
  return false;
};
const found = [];
for (const element of document.body.querySelectorAll("*")) {
  if (element.closest("svg, script, math *")) continue;
  const box = element.getBoundingClientRect();
  if (box.width && (box.right > limit + 1 || box.left < -1) && !scrolls(element))
    found.push(element.tagName + "." + (element.className || "") + " " + Math.round(box.right));
}
return found.concat(document.documentElement.scrollWidth > limit ? ["page scrolls sideways"] : []);
"""
_CUT_TEXTS = """
return [...document.querySelectorAll(".chart")].flatMap(chart => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("text.gtitle, .infolayer .annotation-text")]
    .filter(text => {
      const box = text.getBoundingClientRect();
      return box.width && (box.right > frame.right + 1 || box.left < frame.left - 1
        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    })
    .map(text => chart.id + ": " + text.textContent.slice(0, 40));
});
"""
# WCAG's contrast ratio of each text with the nearest background behind it.
_PALE = """
const parse = text => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
  .map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const behind = element => {
  for (let up = element; up; up = up.parentElement) {
    const colour = parse(getComputedStyle(up).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.body.querySelectorAll("*")) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  const box = element.getBoundingClientRect();
  if (!own || !box.width || element.closest("script, style, svg")) continue;
  const a = light(parse(getComputedStyle(element).color)), b = light(behind(element));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) found.push(element.tagName + "." + (element.className || "")
    + " " + element.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
}
return found;
"""
_PAPER = """
const parts = document.querySelectorAll(
  "svg.main-svg, .table-frame > table, .formula > math, img, pre, p"
);
return [...parts].filter(part => part.getBoundingClientRect().right > arguments[0] + 1)
  .map(part => part.tagName + " " + Math.round(part.getBoundingClientRect().right));
"""


def require_browser() -> None:
    """Skip the test without Chromium, or fail it where a browser is required."""
    if CHROMIUM and DRIVER:
        return
    reason = "Chromium and chromedriver are not both installed"
    if os.environ.get("TOUCHPOINT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason}, and TOUCHPOINT_REQUIRE_BROWSER=1")
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start a Chromium of its own that reaches no host, and stop it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = str(CHROMIUM)
        for flag in (
            "--headless=new",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(flag)
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


def open_report(driver: webdriver.Chrome, path: Path, width: int = 1280) -> None:
    """Load a report at a width and wait until its charts are drawn."""
    resize(driver, width)
    driver.get(path.resolve().as_uri())
    wait_ready(driver)


def resize(driver: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Set the width of the page, below what a window may have too."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait_ready(driver: webdriver.Chrome) -> None:
    """Wait until the page's script, if it has one, says that all is drawn and measured."""
    script = (
        "return document.readyState === 'complete' && (!document.querySelector('.chart')"
        " || document.documentElement.dataset.ready === 'true')"
    )
    WebDriverWait(driver, 60).until(lambda page: page.execute_script(script))


def emulate(driver: webdriver.Chrome, *, dark: bool = False, media: str = "") -> None:
    """Set the colour scheme and the medium."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


def requests(driver: webdriver.Chrome) -> list[str]:
    """Return the addresses that the page asked for since the last call."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(str(message["params"]["request"]["url"]))
    return found


def print_pdf(driver: webdriver.Chrome, target: Path) -> Path:
    """Print the open page as the browser's print dialog would."""
    options: dict[str, Any] = {"preferCSSPageSize": True, "printBackground": True}
    printed = driver.execute_cdp_cmd("Page.printToPDF", options)
    target.write_bytes(base64.b64decode(printed["data"]))
    return target


def print_scale(driver: webdriver.Chrome, pdf: Path) -> float:
    """Return the size of the title in ``pdf`` relative to its size in the style, about 1.

    Chromium shrinks a page on which something is wider than the paper, down to a half, and cuts
    off what is wider still: the margins stay blank either way, and only the scale tells.
    """
    pdftotext = shutil.which("pdftotext")
    if pdftotext is None:
        return 1.0
    command = [pdftotext, "-bbox", "-l", "1", str(pdf), "-"]
    boxes = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    emulate(driver, media="print")
    word, size = driver.execute_script(
        "const title = document.querySelector('h1');"
        "return [title.textContent.trim().split(/\\s+/)[0], getComputedStyle(title).fontSize]"
    )
    pattern = r'<word .*? yMin="(.*?)" .*? yMax="(.*?)">' + re.escape(html.escape(word)) + "<"
    found = re.search(pattern, boxes)
    if found is None:
        return 0.0
    points = float(size.removesuffix("px")) * 0.75
    return (float(found[2]) - float(found[1])) / points


def inspect_report(driver: webdriver.Chrome, path: Path, folder: Path) -> list[str]:
    """Return everything that is wrong with the report at ``path``; an empty list is a good report.

    Looked at: charts drawn, no request but for the file itself, no severe console entry, nothing
    wider than the viewport at 1280 and at 400 pixels, readable texts in light and dark, and
    nothing cut on paper. ``folder`` takes the printed PDF.
    """
    findings: list[str] = []

    def note(what: str, items: list[Any]) -> None:
        findings.extend(f"{path.name}: {what}: {item}" for item in items)

    emulate(driver)
    requests(driver)
    driver.get_log("browser")
    open_report(driver, path)
    charts = driver.execute_script(_DRAWN)
    note("chart not drawn", [chart for chart in charts if min(chart[1:]) < 1])
    note("wider than 1280 pixels", driver.execute_script(_TOO_WIDE, 1280))
    note("text of a chart cut at 1280 pixels", driver.execute_script(_CUT_TEXTS))
    note("too little contrast", driver.execute_script(_PALE))

    # Paper before phone: this is the width at which a reader prints.
    scale = print_scale(driver, print_pdf(driver, folder / f"{path.stem}.pdf"))
    note("shrunk on paper", [round(scale, 2)] if scale < 1 else [])
    resize(driver, A4_WIDTH)
    note("wider than A4", driver.execute_script(_PAPER, A4_WIDTH))
    emulate(driver, dark=True)
    open_report(driver, path, 400)
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    if sum(int(part) for part in background[4:-1].split(",")) > 150:
        note("not dark", [background])
    note("too little contrast in the dark", driver.execute_script(_PALE))
    note("wider than 400 pixels", driver.execute_script(_TOO_WIDE, 400))
    note("text of a chart cut at 400 pixels", driver.execute_script(_CUT_TEXTS))
    emulate(driver)

    own = path.resolve().as_uri()
    others = [
        url for url in requests(driver) if url != own and not url.startswith(("data:", "blob:"))
    ]
    note("request", others)
    entries = driver.get_log("browser")
    note("console", [entry["message"] for entry in entries if entry["level"] == "SEVERE"])
    return findings
