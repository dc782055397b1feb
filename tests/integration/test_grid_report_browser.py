"""The report of a grid in a real browser: whole, without network, readable on a phone, by keyboard and by ear."""

from __future__ import annotations

import shutil

import pytest

import neurodata as nd
from neurodata.validate.prepare import Prepare

pytestmark = pytest.mark.browser

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
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
def path(tmp_path_factory):
    """A real grid of two lengths, in which one model fails and another has a long name."""
    zoo = nd.simulate.zoo
    result = nd.validate.grid(
        {
            "a_model_with_a_name_that_goes_on_and_on": nd.models.HMMGLM(
                prior=None, n_states=1, n_restarts=1, max_iter=5, tol=1e-2
            ),
            "<b>refuses</b>": (nd.models.HMMGLM(n_states=0), Prepare(0.02)),
        },
        {"static": zoo.static(n=8, p=0.3, rng=0), "null": zoo.null(n=8, rng=0)},
        {"full": [], "half": [nd.simulate.Subsample(fraction=0.5)]},
        ["ap", "mcc", "bits_per_spike"],
        seeds=2,
        duration=[6.0, 12.0],
    )
    assert (result.status == "failed").any()
    return nd.validate.report(result, tmp_path_factory.mktemp("report") / "report.html")


def _open(browser, path, size):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri(), wait_until="load")
    return page, asked, complaints


@pytest.mark.parametrize("size", SIZES)
def test_the_page_opens_whole_and_asks_for_nothing(browser, path, size):
    page, asked, complaints = _open(browser, path, SIZES[size])
    assert complaints == []
    assert asked == [path.as_uri()]
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) >= 3 * 3 + 2
    assert all(width > 0 for width in widths)
    page.evaluate("[...document.querySelectorAll('details')].forEach(part => part.open = true)")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0
    page.close()


def test_the_answer_comes_first_and_the_contents_lead_to_their_headings(browser, path):
    page, _, _ = _open(browser, path, SIZES["phone"])
    answer = page.locator(".answer").first
    assert "the best baseline is" in answer.inner_text()
    assert answer.bounding_box()["y"] < SIZES["phone"][1]
    links = page.locator("nav a")
    for k in range(links.count()):
        label = links.nth(k).inner_text()
        links.nth(k).click()
        assert page.locator(page.evaluate("location.hash")).inner_text() == label
    page.close()


def test_it_can_be_read_without_seeing_it(browser, path):
    page, _, _ = _open(browser, path, SIZES["wide"])
    assert all(page.evaluate("[...document.images].map(image => image.alt.length > 30)"))
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(heading => +heading.tagName[1])")
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert page.evaluate("document.documentElement.lang") == "en"
    for section in page.locator("section").all():
        assert page.locator(f"#{section.get_attribute('aria-labelledby')}").count() == 1
    # Numbers behind the pictures are opened with the keyboard alone.
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.locator("table").is_visible()
    page.close()


def test_names_and_errors_are_shown_as_they_are(browser, path):
    page, _, _ = _open(browser, path, SIZES["wide"])
    assert page.locator("main b").count() == 0
    text = page.locator("body").inner_text()
    assert "<b>refuses</b>" in text
    assert "n_states" in text
    page.close()
