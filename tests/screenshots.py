"""Pictures of the main screens with the demo's data: python -m tests.screenshots [NAME ...]

A demo of its own is loaded, computed and served; the pictures go to docs/screenshots.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCREENS = {
    "morning": "/admin/",
    "overview": "/admin/portfolios/portfolio/1/overview/",
    "holdings": "/admin/portfolios/portfolio/1/holdings/",
    "targets": "/admin/portfolios/portfolio/1/targets/",
    "risk": "/admin/portfolios/portfolio/1/risk/",
    "attribution": "/admin/portfolios/portfolio/1/attribution/?period=ytd",
    "asset": "/admin/portfolios/asset/1/overview/",
    "proposal": "/admin/analytics/rebalancingevent/1/change/",
    "correlations": "/admin/analytics/assetcorrelation/explorer/",
    "audit": "/admin/portfolios/portfolio/1/audit/",
    "fact-sheet": "/admin/portfolios/portfolio/1/fact-sheet/",
}
ON_PAPER = {"fact-sheet"}
SCHEMES = ("light", "dark")
SIZE = (1280, 860)
USER, PASSWORD = "demo", "demo-portfolio"
SECONDS_TO_START = 60


def main(wanted: list[str]) -> int:
    unknown = sorted(set(wanted) - set(SCREENS))
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if unknown or browser is None:
        print(f"no screen {', '.join(unknown)}" if unknown else "no Chromium was found", file=sys.stderr)  # noqa: T201
        return 2
    FOLDER.mkdir(exist_ok=True)
    with served_demo() as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scheme in SCHEMES:
            take(chromium, address, scheme, wanted or list(SCREENS))
    return 0


@contextmanager
def served_demo() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DEBUG": "1", "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3"}
        manage = [sys.executable, str(ROOT / "manage.py")]
        for command in (["migrate", "--verbosity", "0"], ["load_demo"], ["run_analytics"]):
            subprocess.run([*manage, *command], env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(  # noqa: S603
            [*manage, "runserver", "--noreload", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_it_answers(f"{address}/healthz")
            yield address
        finally:
            server.terminate()
            server.wait()


def wait_until_it_answers(address: str) -> None:
    latest = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > latest:
                raise
            time.sleep(0.2)
        else:
            return


def take(chromium: Browser, address: str, scheme: str, names: list[str]) -> None:
    context = chromium.new_context(
        viewport={"width": SIZE[0], "height": SIZE[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(f"{address}/admin/login/")
    page.fill("#id_username", USER)
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    for name in names:
        if scheme == "dark" and name in ON_PAPER:
            continue
        page.goto(f"{address}{SCREENS[name]}", wait_until="networkidle")
        page.wait_for_timeout(500)  # charts draw themselves after the page is there
        page.screenshot(path=FOLDER / f"{name}-{scheme}.jpg", type="jpeg", quality=72)
    context.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
