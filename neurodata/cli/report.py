"""A report as one HTML file that needs nothing else: no network, no scripts, figures inside."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from neurodata.cli.analyses.base import Picture, Result
from neurodata.containers.summary import Summary
from neurodata.plot.html import Anchors, answer_html, escape, figure_html, page, pairs_html, table_html


@dataclass
class Section:
    """One recording of the report."""

    name: str
    summary: Summary
    overview: list[Picture] = field(default_factory=list)
    results: list[tuple[str, str, Result]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Report:
    """Everything a report shows."""

    title: str
    about: str
    sections: list[Section]
    provenance: list[tuple[str, str]]
    files: list[tuple[str, int, str]] = field(default_factory=list)
    results_file: str = ""


def render(report: Report) -> str:
    """The report as HTML text."""
    ids = Anchors("provenance")
    links: list[tuple[str, str, bool]] = []
    body = []
    several = len(report.sections) > 1
    for section in report.sections:
        body.append(_section(section, ids, links, several))
    links.append(("provenance", "How this was made", False))
    contents = "".join(
        f'<li{" class=inner" if inner else ""}><a href="#{anchor}">{escape(label)}</a></li>'
        for anchor, label, inner in links
    )
    about = f'<p class="soft">{escape(report.about)}</p>' if report.about else ""
    return page(
        report.title,
        f"<header><p class=soft>neurodata report</p><h1>{escape(report.title)}</h1>{about}</header>"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>{"".join(body)}{_provenance(report)}',
    )


def index(title: str, about: str, entries: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """A page that links to reports: (address, name, lines of the answer) of each."""
    items = "".join(
        f'<h2><a href="{html.escape(address, quote=True)}">{escape(name)}</a></h2>{answer_html(lines)}'
        for address, name, lines in entries
    )
    return page(title, f"<header><h1>{escape(title)}</h1><p class=soft>{escape(about)}</p></header>{items}")


def _section(section: Section, ids: Anchors, links: list[tuple[str, str, bool]], several: bool) -> str:
    parts = []
    prefix = f"{section.name}: " if several else ""

    def heading(text: str, inner: bool) -> None:
        anchor = ids.make(f"{section.name} {text}")
        links.append((anchor, text if inner else f"{prefix}{text}", inner))
        parts.append(f'<h2 id="{anchor}">{escape(prefix + text)}</h2>')

    first = True
    for title, question, result in section.results:
        heading(title, several and not first)
        first = False
        parts.append(f'<p class="soft">{escape(question)}</p>{answer_html(result.verdict)}')
        parts += [figure_html(picture) for picture in result.pictures]
        parts += [table_html(table) for table in result.tables]
        parts.append(f"<h3>Settings</h3>{pairs_html([(k, str(v)) for k, v in result.settings.items()])}")
        if result.caveats:
            items = "".join(f"<li>{escape(line)}</li>" for line in result.caveats)
            parts.append(f"<h3>What this cannot tell</h3><ul class=caveats>{items}</ul>")
    heading("What is in the recording", several and not first)
    if section.remarks:
        parts.append(answer_html(section.remarks, "answer warn"))
    parts.append(_facts(section.summary))
    if section.overview:
        heading("The data as they are", several)
        parts += [figure_html(picture) for picture in section.overview]
    return f'<section aria-label="{html.escape(section.name, quote=True)}">{"".join(parts)}</section>'


def _facts(summary: Summary) -> str:
    nodes: dict[str, list[tuple[str, str]]] = {}
    for _, node, fact, value in summary.rows:
        nodes.setdefault(node, []).append((fact, value))
    return "".join(f"<h3>{escape(node)}</h3>{pairs_html(pairs)}" for node, pairs in nodes.items())


def _provenance(report: Report) -> str:
    parts = ['<h2 id="provenance">How this was made</h2>', pairs_html(report.provenance)]
    if report.results_file:
        parts.append(
            f"<p>Everything that was computed is in <code>{escape(report.results_file)}</code>, beside this file: "
            f"<code>xarray.open_datatree({escape(repr(report.results_file))}, engine='h5netcdf')</code>.</p>"
        )
    if report.files:
        rows = tuple((name, size, digest or "not taken (large)") for name, size, digest in report.files)
        body = "".join(
            f"<tr><td>{escape(name)}</td><td class=n>{size:,}</td><td class=mono>{escape(digest)}</td></tr>"
            for name, size, digest in rows
        )
        parts.append(
            "<h3>Input files</h3><div class=wide><table><thead><tr><th>file</th><th class=n>bytes</th>"
            f"<th>SHA-256</th></tr></thead><tbody>{body}</tbody></table></div>"
        )
    return f"<section>{''.join(parts)}</section>"
