"""The documentation as a built site: whole, no link broken, and readable without a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.documents import ROOT, SITE

#: What a browser fetches by itself: scripts, styles, pictures, fonts and frames, not links.
FETCHED = re.compile(r"<(?:script|img|iframe|link|source)\b[^>]*?\b(?:src|href)=\"?(https?:|//)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link, anchor or picture ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        folder = tmp_path_factory.mktemp("site")
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_every_page_is_built_and_in_the_navigation(site):
    wanted = {re.sub(r"^docs/(.*)\.md$", r"\1.html", name) for name in SITE}
    built = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    assert built == wanted | {"404.html"}
    navigation = (site / "index.html").read_text(encoding="utf-8").partition("<nav")[2]
    assert [name for name in wanted if f'href="{name}"' not in navigation] == []


def test_nothing_is_fetched_from_elsewhere(site):
    pages = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert [name for name, text in pages.items() if FETCHED.search(text)] == []
    styles = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    elsewhere = re.compile(r"url\([\"']?(?:https?:|//)|@import")
    assert styles and [name for name, text in styles.items() if elsewhere.search(text)] == []


def test_a_page_that_no_index_links_to_comes_last_in_its_folder(tmp_path):
    from docs.navigation import section

    (tmp_path / "how-to").mkdir()
    for name in ("index", "b", "a", "late", "c"):
        (tmp_path / "how-to" / f"{name}.md").write_text("# Title\n", encoding="utf-8")
    (tmp_path / "how-to" / "index.md").write_text(
        "# How to\n\n[b](b.md), [a](a.md#x), [b](b.md)\n\n## More\n\n- [c](c.md)\n",
        encoding="utf-8",
    )
    parts = section(tmp_path, "how-to")
    assert parts == [
        "how-to/index.md",
        "how-to/b.md",
        {"More": ["how-to/c.md"]},
        "how-to/a.md",
        "how-to/late.md",
    ]


@pytest.mark.slow
def test_pages_that_are_read_as_files_are_searched_and_fit_a_phone(site):
    from playwright.sync_api import expect

    from tests.browser import accessibility_faults, chromium

    with chromium() as browser:
        page, faults = browser.new_page(reduced_motion="reduce"), []
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "requestfailed",
            # What is asked for while the page is left is given up.
            lambda request: "ABORTED" in request.failure or faults.append(request.url),
        )
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").focus()
        expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")
        page.keyboard.type("STOCKCAST_KEEP_DAYS")
        page.locator(".md-search-result__link", has_text="Settings").first.click()
        page.wait_for_url("**/settings.html*")

        page.set_viewport_size({"width": 390, "height": 844})
        for built in sorted(site.glob("*/*.html")):
            page.goto(built.as_uri())
            if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
                faults.append(f"{built.name} is {width} pixels wide on a phone")
        for scheme in ("light", "dark"):
            # A page of its own: axe asks for the styles, which a browser does not let it read.
            looked_at = browser.new_page(color_scheme=scheme)
            looked_at.goto((site / "how-to" / "add-a-recipe.html").as_uri())
            # The search field is the theme's.
            faults += [each for each in accessibility_faults(looked_at) if "search" not in each]
    assert faults == []
