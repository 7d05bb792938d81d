"""Start JupyterLab on the notebooks, ask it for them and for its exporters, and stop it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "jupyter"), "lab", "notebooks", "--no-browser",
        "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=check",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as lab:
        try:
            formats = fetch(lab, f"http://127.0.0.1:{port}/api/nbconvert")
            files = fetch(lab, f"http://127.0.0.1:{port}/api/contents")
        finally:
            lab.terminate()
    if "touchpoint" not in formats:
        raise SystemExit(f"JupyterLab does not list the exporter: {sorted(formats)}")
    names = sorted(item["name"] for item in files["content"])
    wanted = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    if not set(wanted) <= set(names):
        raise SystemExit(f"JupyterLab shows {names}, not {wanted}")
    print(f"JupyterLab started, shows {len(wanted)} notebooks and lists the exporter")


def fetch(lab: subprocess.Popen[str], address: str) -> dict[str, list[dict[str, str]]]:
    """Return what the server answers, waiting up to a minute for it to start."""
    request = urllib.request.Request(address, headers={"Authorization": "token check"})
    for _ in range(120):
        if lab.poll() is not None:
            raise SystemExit(f"JupyterLab stopped:\n{lab.stderr.read() if lab.stderr else ''}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: dict[str, list[dict[str, str]]] = json.load(answer)
                return found
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise SystemExit("JupyterLab did not answer within a minute")


if __name__ == "__main__":
    main()
