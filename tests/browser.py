"""Chromium as people look at this project with it, watched for everything that a page complains of.

    with chromium() as browser, watched(browser, settings) as page:
        log_in(page, settings)
        page.goto(f"{airflow_url(settings)}/forecasts/")
        picture(page, "forecasts")

It is the system's own, and watched until the block ends; a fault that is nobody else's known noise
is then an `AssertionError`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Frame,
    Page,
    Request,
    Response,
    WebError,
    expect,
    sync_playwright,
)

from pipeline.parts import mlflow_url
from pipeline.scheduling import (
    ADMIN_USER,
    PAGES_PREFIX,
    admin_password,
    airflow_url,
    password_of,
)
from pipeline.settings import Settings

#: Its names on Debian and others; STOCKCAST_TEST_BROWSER names another. `make browser` looks for
#: the same.
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: A page that needs anything from outside does not get it, so that it is noticed; and Chromium asks
#: for nothing by itself.
ARGUMENTS = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-sandbox",  # which root and most containers cannot have; the pages are our own
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: Generous: others may have the processors.
MILLISECONDS_TO_SHOW = 60_000
#: `conftest` has given the variables these names: one that begins with STOCKCAST_ is a setting, or
#: refused.
BROWSER, SCREENSHOTS = "_STOCKCAST_TEST_BROWSER", "_STOCKCAST_SCREENSHOTS"
#: Pictures are what a build leaves (git ignores the folder); nothing compares them.
PICTURES = Path(__file__).parents[1] / "build" / "screenshots"

#: What other people's pages complain of by themselves: a regular expression, and why. Our own pages
#: have no entry.
NOISE = {
    "Airflow": (
        (
            r"401 GET /ui/config",
            "it asks for its settings before it knows that nobody has logged in",
        ),
        (r"net::ERR_ABORTED GET .*", "going from page to page it leaves requests behind"),
    ),
    "MLflow": ((r"net::ERR_ABORTED GET .*", "going from page to page it leaves requests behind"),),
}


def executable() -> str:
    """Return where the browser is; `AssertionError` when there is none."""
    named = os.environ.get(BROWSER, "")
    path = named or next((path for name in NAMES if (path := shutil.which(name))), "")
    assert path, (
        f"There is no {', '.join(NAMES)}. `make browser` installs it, or set "
        "STOCKCAST_TEST_BROWSER to one."
    )
    return path


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS_TO_SHOW)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def watched(
    browser: Browser, settings: Settings, width: int = 1280, height: int = 900, **options: object
) -> Iterator[Page]:
    """A window of its own.

    Args:
        options: as Playwright's `new_context` takes them (color_scheme="dark", storage_state=...).
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        http_credentials=mlflow_login(settings),
        **options,
    )
    context.set_default_timeout(MILLISECONDS_TO_SHOW)
    watch = _Watch(settings)
    context.on("console", watch.console)
    context.on("weberror", watch.uncaught)
    context.on("response", watch.response)
    context.on("requestfailed", watch.failed)
    try:
        yield context.new_page()
    finally:
        context.close()
    if watch.faults:
        raise AssertionError("\n".join(watch.faults))


class _Watch:
    """What the pages of a window have complained of, each with its page."""

    def __init__(self, settings: Settings) -> None:
        self.faults: list[str] = []
        self._airflow, self._mlflow = airflow_url(settings), mlflow_url(settings)

    def console(self, message: ConsoleMessage) -> None:
        # The request itself notes what could not be loaded, with its address.
        if message.type == "error" and not message.text.startswith("Failed to load resource: "):
            page = message.page.url if message.page else ""
            address = message.location["url"]
            place = address if address.startswith("http") else page
            self.note(place, f"console: {message.text}")

    def uncaught(self, error: WebError) -> None:
        self.note(error.page.url if error.page else "", f"uncaught: {error.error.message}")

    def response(self, response: Response) -> None:
        if response.status >= 400:
            self._request(response.request, str(response.status))

    def failed(self, request: Request) -> None:
        self._request(request, request.failure or "failed")

    def _request(self, request: Request, fault: str) -> None:
        page = request.url if request.is_navigation_request() else request.frame.url
        address = request.url.partition("?")[0]
        for own in (self._airflow, self._mlflow):
            address = address.removeprefix(own)
        self.note(page, f"{fault} {request.method} {address}")

    def note(self, page: str, message: str) -> None:
        if not any(re.fullmatch(known, message) for known, _ in NOISE.get(self._owner(page), ())):
            self.faults.append(f"{page}: {message}")

    def _owner(self, page: str) -> str:
        if page.startswith(self._mlflow):
            return "MLflow"
        ours = urlsplit(page).path.startswith(PAGES_PREFIX)
        return "Airflow" if page.startswith(self._airflow) and not ours else "ours"


def mlflow_login(settings: Settings) -> dict[str, str]:
    """Return what a browser's own dialog would ask for MLflow."""
    return {
        "username": ADMIN_USER,
        "password": password_of(settings, "mlflow"),
        "origin": mlflow_url(settings),
    }


def log_in(page: Page, settings: Settings) -> None:
    """Log in through Airflow's form, wherever it leads afterwards."""
    if "/auth/login" not in page.url:
        page.goto(f"{airflow_url(settings)}/auth/login")
    page.get_by_label("Username").fill(ADMIN_USER)
    page.get_by_label("Password").fill(admin_password(settings.home))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)


def picture(page: Page, name: str, whole: bool = False) -> Path:
    """Write what is shown now as a PNG file; `whole`: with what one would scroll to."""
    path = Path(os.environ.get(SCREENSHOTS) or PICTURES) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=whole, animations="disabled")
    return path


def accessibility_faults(page: Page | Frame) -> list[str]:
    """Return what axe finds that is serious or critical: rule, impact, place and summary."""
    return [
        f"{rule['id']} ({rule['impact']}) {' '.join(map(str, node['target']))}: "
        f"{node['failureSummary']}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
