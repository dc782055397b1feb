"""The reports in a real browser: headless Chromium, on a wide and on a narrow screen."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import neurodata as nd
from neurodata.cli import main

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"wide": (1280, 900), "phone": (360, 780)}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "these tests need Chromium: apt-get install chromium (.ci/run does)"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The demo's pages, and a report of two sessions with long names."""
    folder = tmp_path_factory.mktemp("reports")
    assert main(["demo", "--out", str(folder / "demo"), "--quiet"]) == 0
    rng = np.random.default_rng(0)
    study = folder / ("study_with_a_long_name_" * 4)
    study.mkdir()
    for name in ("monday" * 12, "<b>tuesday & wednesday</b>"):
        eeg = nd.make_eeg(1e-5 * rng.standard_normal((3000, 20)), sampling_rate=100.0)
        nd.save(nd.make_recording(eeg=eeg), study / f"{name.replace('/', '∕')}.nc")
    assert main(["analyze", str(study), "--out", str(folder / "two"), "--quiet"]) == 0
    pages = {
        name: folder / "demo" / name / "report.html" for name in ("example_spikes", "example_calcium", "example_eeg")
    }
    return {**pages, "index": folder / "demo" / "index.html", "two": folder / "two" / "report.html"}


def _open(browser, path, size):
    """A page, what it asked for beyond itself, and what it complained of."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri(), wait_until="load")
    return page, asked, complaints


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["example_spikes", "example_calcium", "example_eeg", "two", "index"])
def test_a_page_opens_whole_and_asks_for_nothing(browser, reports, name, size):
    page, asked, complaints = _open(browser, reports[name], SIZES[size])
    assert complaints == []
    assert asked == [reports[name].as_uri()]
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert all(width > 0 for width in widths)
    assert (len(widths) == 0) == (name == "index")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0
    page.close()


def test_the_contents_lead_to_their_headings(browser, reports):
    page, _, _ = _open(browser, reports["example_eeg"], SIZES["wide"])
    links = page.locator("nav a")
    assert links.count() >= 4
    for k in range(links.count()):
        label = links.nth(k).inner_text()
        links.nth(k).click()
        heading = page.locator(page.evaluate("location.hash"))
        assert heading.inner_text() == label
    page.close()


def test_the_answer_is_the_first_thing_to_read(browser, reports):
    page, _, _ = _open(browser, reports["example_spikes"], SIZES["phone"])
    answer = page.locator(".answer").first
    assert "bits/spike" in answer.inner_text()
    assert answer.bounding_box()["y"] < SIZES["phone"][1]
    assert page.locator("img").first.bounding_box()["y"] > answer.bounding_box()["y"]
    assert all(page.evaluate("[...document.images].map(image => image.alt.length > 0)"))
    page.close()


def test_the_index_leads_to_the_reports(browser, reports):
    page, _, _ = _open(browser, reports["index"], SIZES["wide"])
    for k in range(3):
        page.locator("h2 a").nth(k).click()
        page.wait_for_load_state("load")
        assert page.locator("h1").inner_text().startswith("example_")
        page.go_back()
    page.close()


def test_names_of_recordings_are_shown_as_they_are(browser, reports):
    page, _, _ = _open(browser, reports["two"], SIZES["wide"])
    assert page.locator("section b").count() == 0
    assert "<b>tuesday & wednesday<∕b>" in page.locator("body").inner_text()
    page.close()
