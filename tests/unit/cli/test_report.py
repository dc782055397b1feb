"""The report is one valid page whose text cannot break out of its place."""

from __future__ import annotations

from html.parser import HTMLParser

import neurodata as nd
from neurodata.cli.analyses.base import Picture, Result, Table
from neurodata.cli.report import Report, Section, render
from neurodata.plot._style import figure

NASTY = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "link", "img", "br"}


class _Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.anchors, self.addresses = [], set(), [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if found.get("href", "").startswith("#"):
            self.anchors.append(found["href"][1:])
        self.addresses += [found[name] for name in ("src", "href") if name in found]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _report() -> str:
    drawn = figure(2, 1)
    drawn.add_subplot().plot([0, 1])
    rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}), attrs={"source_file": NASTY})
    result = Result(
        verdict=[NASTY],
        pictures=[Picture(NASTY, NASTY, drawn)],
        tables=[Table(NASTY, (NASTY, "n"), ((NASTY, 1.5),), NASTY)],
        settings={NASTY: NASTY},
        caveats=[NASTY],
    )
    sections = [Section(NASTY, nd.summary(rec), [], [(NASTY, NASTY, result)] * 2, [NASTY]) for _ in range(2)]
    return render(Report(NASTY, NASTY, sections, [(NASTY, NASTY)], [(NASTY, 3, "")], "results.nc"))


def test_text_cannot_break_out_and_the_page_is_whole():
    checker = _Checker()
    checker.feed(_report())
    assert checker.open == []
    assert "script" not in checker.tags
    assert len(checker.ids) == len(set(checker.ids))
    assert set(checker.anchors) <= set(checker.ids)
    assert all(address.startswith(("data:", "#")) for address in checker.addresses)


def test_a_report_of_the_same_thing_twice_is_the_same_text():
    assert _report() == _report()
