"""The report of a grid: numbers and words on one page, whatever the result holds."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError, StoreError
from neurodata.validate._words import WORDS
from neurodata.validate.metrics import ALL
from neurodata.validate.report import render, report

MODELS = ["glm", "<b>odd</b> & name", "xcorr", "rate_only"]


def made_up(durations: list[float] | None = None) -> xr.Dataset:
    """A result with known numbers: AP of model m on circuit c is 0.1 m + 0.2 c + 0.01 seed."""
    dims = ("duration", "model", "circuit", "observation", "seed")
    sizes = dict(zip(dims, (len(durations or [60.0]), 4, 2, 2, 3), strict=True))
    shape = tuple(sizes.values())
    rank, circuit, seed = np.arange(4), np.arange(2), np.arange(3)
    ap = 0.1 * rank[:, None, None, None] + 0.2 * circuit[:, None, None] + 0.01 * seed + np.zeros((2, 1))
    score = np.full((*shape, 3), np.nan)
    score[..., 0] = ap
    score[..., 1] = 1.0 - ap
    score[:, 1, 0] = np.nan  # the odd model failed on the first circuit
    status = np.where(np.isfinite(score), "ok", "not applicable")
    status[:, 1, 0] = "failed"
    error = np.full(shape, "", dtype=object)
    error[:, 1, 0] = "fit: ValueError: <script>alert(1)</script>"
    step = np.linspace(0, 1, 51)
    weights = np.random.default_rng(0).normal(size=(*shape, 200))
    result = xr.Dataset(
        {
            "score": ((*dims, "metric"), score),
            "chance": ((*dims, "metric"), np.where(np.arange(3) == 0, 0.05, np.nan) + np.zeros((*shape, 1))),
            "status": ((*dims, "metric"), status),
            "runtime": (dims, np.full(shape, 1.5)),
            "error": (dims, error.astype(str)),
            "warning": (dims, np.full(shape, "")),
            "true_positive_rate": ((*dims, "false_positive_rate"), np.broadcast_to(step, (*shape, 51))),
            "precision": ((*dims, "recall"), np.broadcast_to(step, (*shape, 51))),
            "edge_weight_true": ((*dims, "edge_sample"), weights),
            "edge_weight_claimed": ((*dims, "edge_sample"), 2 * weights),
        },
        coords={
            "duration": durations or [60.0],
            "model": MODELS,
            "circuit": ["static", "ring"],
            "observation": ["full", "sorted"],
            "seed": [0, 1, 2],
            "metric": ["ap", "false_discovery_rate", "state_accuracy"],
            "better": ("metric", ["higher", "lower", "higher"]),
            "is_baseline": ("model", [False, False, True, True]),
            "false_positive_rate": step,
            "recall": step,
        },
        attrs={
            "rng": 0,
            "engine": "numba",
            "redraw": 0,
            "code": "0.1",
            "models": json.dumps({m: {"class": "<i>"} for m in MODELS}),
        },
    )
    return result if durations else result.isel(duration=0)


class Page(HTMLParser):
    """Counts of tags, alternative texts, headings, and tags that were not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.alts, self.open, self.text = {}, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag == "img":
            self.alts.append(dict(attrs).get("alt", ""))
            assert dict(attrs)["src"].startswith("data:image/png;base64,")
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def text() -> str:
    return render(made_up(), "A title & more")


def test_the_page_is_whole_and_names_are_shown_as_they_are(text):
    page = Page(text)
    assert page.open == []
    assert page.tags["h1"] == 1
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert "b" not in page.tags
    words = "".join(page.text)
    assert "<script>alert(1)</script>" in words
    assert "<b>odd</b> & name" in words
    assert not re.search(r"(src|href)=\"?https?:", text)


def test_every_picture_is_described(text):
    page = Page(text)
    # Two for each of two scored metrics, curves, weights, runtime.
    assert len(page.alts) == 7
    assert all(len(alt) > 30 for alt in page.alts)


def test_the_numbers_are_those_of_the_result(text):
    """Mean and interval over seeds 0, 1, 2 of m + 0.01 seed: sd 0.01, t(0.975, 2) = 4.303, so 4.303 * 0.01 / sqrt 3."""
    words = "".join(Page(text).text)
    half = 4.303 * 0.01 / np.sqrt(3)
    for rank in (0, 2, 3):
        for circuit in (0, 1):
            assert f"{0.1 * rank + 0.2 * circuit + 0.01:.2f} ± {half:.2f}" in words
    # The odd model has no score on the first circuit, so means are compared on the second alone: 0.21 + 0.1 m.
    assert "the best model is <b>odd</b> & name with 0.31, the best baseline is rate_only with 0.51" in words
    assert "guessing gets 0.05, no model beats that baseline" in words


def test_a_metric_whose_low_values_are_good_names_the_lowest(text):
    words = "".join(Page(text).text)
    assert "Lower is better" in words
    # 1 - AP: the best of the first metric is the worst here.
    alt = next(alt for alt in Page(text).alts if alt.startswith("Heat map. False connections"))
    assert "Best: rate_only." in alt


def test_metrics_without_any_score_have_no_section(text):
    assert "States found" not in text
    assert "Connections found: average precision" in text


def test_failures_are_listed_with_models_and_counts(text):
    words = " ".join("".join(Page(text).text).split())
    assert "6 of 48 cells failed" in words
    assert "static, full, seed 0" in words
    assert "Circuits in which" not in words


def test_several_lengths_are_drawn_and_the_longest_is_tabled():
    result = made_up([30.0, 60.0])
    result["score"][0] = 0.0
    text = render(result, "t")
    assert "By length of the recording" in text
    assert "glm 0.00 at 30 s, 0.11 at 60 s" in text
    assert "0.01 ± 0.02" in text


def test_a_result_without_extras_has_a_page_too():
    result = made_up().drop_vars(
        ["true_positive_rate", "precision", "edge_weight_true", "edge_weight_claimed", "warning", "better"]
    )
    page = Page(render(result.drop_vars(["is_baseline"]), "t"))
    assert page.open == []
    assert len(page.alts) == 5


def test_a_result_in_which_all_failed_has_a_page_too():
    result = made_up()
    result["score"][:] = np.nan
    result["error"][:] = "fit: no"
    text = render(result, "t")
    assert "48 of 48 cells failed" in text
    assert Page(text).open == []


def test_one_seed_has_no_interval():
    text = render(made_up().isel(seed=[0]), "t")
    assert "±" in text  # the caption says what it would mean
    assert not re.search(r"\d ± ", text)


def test_the_file_is_written_whole_or_not_at_all(tmp_path):
    path = report(made_up(), tmp_path / "report.html", title="mine")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "<title>mine</title>" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(StoreError, match="choose another place"):
        report(made_up(), tmp_path / "missing" / "report.html")


def test_what_is_no_result_is_refused(tmp_path):
    with pytest.raises(OptionError, match="a Dataset without chance, error"):
        report(xr.Dataset(), tmp_path / "report.html")
    with pytest.raises(OptionError, match="what grid"):
        report(nd.make_recording(spikes=nd.make_spikes({"a": [0.1]})), tmp_path / "report.html")


def test_every_metric_is_explained():
    assert set(ALL) <= set(WORDS)
    assert all(title and len(meaning) > 30 for title, meaning in WORDS.values())
    titles = [title for title, _ in WORDS.values()]
    assert len(set(titles)) == len(titles)


def test_the_report_of_a_real_grid_opens(tmp_path):
    circuits = {"static": nd.simulate.zoo.static(n=6, p=0.3, rng=0)}
    result = nd.validate.grid({}, circuits, metrics=["auroc", "mcc"], seeds=2, duration=5.0)
    text = nd.validate.report(result, tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert f"{float(result.score.sel(model='xcorr', metric='auroc').mean()):.2f}" in text
