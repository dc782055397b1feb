"""A report as one HTML file that needs nothing else: no network, no scripts, figures inside."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from neurodata.cli.analyses.base import Picture, Result, Table
from neurodata.containers.summary import Summary

_DPI = 130

STYLE = """
:root{--ink:#1c2126;--soft:#57606a;--line:#d8dee4;--wash:#f5f7f9;--accent:#0072b2}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:#fff;color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
header{border-bottom:1px solid var(--line);margin-bottom:1.25rem;padding-bottom:.75rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:2.5rem 0 .75rem;padding-top:.5rem;border-top:1px solid var(--line);overflow-wrap:anywhere}
h3{font-size:1.05rem;margin:1.75rem 0 .4rem;overflow-wrap:anywhere}
p,li{overflow-wrap:anywhere}
p{margin:.5rem 0}
a{color:var(--accent)}
.soft,figcaption,caption{color:var(--soft);font-size:.9rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem;list-style:none;margin:0;padding:0}
nav li{min-width:0;overflow-wrap:anywhere}
nav li.inner{font-size:.92rem}
.answer{background:var(--wash);border-left:4px solid var(--accent);padding:.75rem 1rem;margin:1rem 0}
.answer p:first-child{margin-top:0;font-size:1.05rem}
.answer p:last-child{margin-bottom:0}
.warn{border-left-color:#d55e00}
figure{margin:1rem 0 1.5rem}
figure img{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption{margin-top:.4rem;max-width:48rem}
.wide{overflow-x:auto;margin:.5rem 0 1rem}
table{border-collapse:collapse;font-size:.92rem}
caption{text-align:left;padding:.2rem 0 .4rem;caption-side:bottom}
th,td{text-align:left;padding:.28rem .9rem .28rem 0;border-bottom:1px solid var(--line);vertical-align:top}
thead th{font-weight:600;border-bottom:2px solid var(--line)}
tbody th{font-weight:400;color:var(--soft);white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.n{text-align:right}
code,.mono{font:.85em/1.4 ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
ul.caveats{padding-left:1.2rem}
ul.caveats li{margin:.35rem 0}
@media(max-width:40rem){main{padding:1rem .9rem 3rem}h1{font-size:1.35rem}tbody th{white-space:normal}}
@media print{nav{display:none}h2{break-after:avoid}figure,table{break-inside:avoid}}
"""


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
    ids = _Ids()
    links: list[tuple[str, str, bool]] = []
    body = []
    several = len(report.sections) > 1
    for section in report.sections:
        body.append(_section(section, ids, links, several))
    links.append(("provenance", "How this was made", False))
    contents = "".join(
        f'<li{" class=inner" if inner else ""}><a href="#{anchor}">{_text(label)}</a></li>'
        for anchor, label, inner in links
    )
    about = f'<p class="soft">{_text(report.about)}</p>' if report.about else ""
    return page(
        report.title,
        f"<header><p class=soft>neurodata report</p><h1>{_text(report.title)}</h1>{about}</header>"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>{"".join(body)}{_provenance(report)}',
    )


def page(title: str, body: str) -> str:
    """A whole HTML page in the common style."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # A browser asks for a favicon unless it is given one.
        '<link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def index(title: str, about: str, entries: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """A page that links to reports: (address, name, lines of the answer) of each."""
    items = "".join(
        f'<h2><a href="{html.escape(address, quote=True)}">{_text(name)}</a></h2>{_answer(lines)}'
        for address, name, lines in entries
    )
    return page(title, f"<header><h1>{_text(title)}</h1><p class=soft>{_text(about)}</p></header>{items}")


class _Ids:
    """Anchors that are unique on the page."""

    def __init__(self) -> None:
        self._taken: set[str] = {"provenance"}

    def make(self, text: str) -> str:
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
        name, k = base, 2
        while name in self._taken:
            name, k = f"{base}-{k}", k + 1
        self._taken.add(name)
        return name


def _section(section: Section, ids: _Ids, links: list[tuple[str, str, bool]], several: bool) -> str:
    parts = []
    prefix = f"{section.name}: " if several else ""

    def heading(text: str, inner: bool) -> None:
        anchor = ids.make(f"{section.name} {text}")
        links.append((anchor, text if inner else f"{prefix}{text}", inner))
        parts.append(f'<h2 id="{anchor}">{_text(prefix + text)}</h2>')

    first = True
    for title, question, result in section.results:
        heading(title, several and not first)
        first = False
        parts.append(f'<p class="soft">{_text(question)}</p>{_answer(result.verdict)}')
        parts += [_picture(picture) for picture in result.pictures]
        parts += [_table(table) for table in result.tables]
        parts.append(f"<h3>Settings</h3>{_pairs([(k, str(v)) for k, v in result.settings.items()])}")
        if result.caveats:
            items = "".join(f"<li>{_text(line)}</li>" for line in result.caveats)
            parts.append(f"<h3>What this cannot tell</h3><ul class=caveats>{items}</ul>")
    heading("What is in the recording", several and not first)
    if section.remarks:
        parts.append(_answer(section.remarks, "answer warn"))
    parts.append(_facts(section.summary))
    if section.overview:
        heading("The data as they are", several)
        parts += [_picture(picture) for picture in section.overview]
    return f'<section aria-label="{html.escape(section.name, quote=True)}">{"".join(parts)}</section>'


def _answer(lines: Sequence[str], style: str = "answer") -> str:
    return f'<div class="{style}">' + "".join(f"<p>{_text(line)}</p>" for line in lines) + "</div>" if lines else ""


def _picture(picture: Picture) -> str:
    return (
        f"<h3>{_text(picture.title)}</h3><figure>"
        f'<img alt="{html.escape(picture.title, quote=True)}" src="data:image/png;base64,{png(picture.figure)}">'
        f"<figcaption>{_text(picture.caption)}</figcaption></figure>"
    )


def png(figure: Any) -> str:
    """A figure as base64 text of a PNG."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, pil_kwargs={"optimize": True})
    return base64.b64encode(drawn.getvalue()).decode("ascii")


def _table(table: Table) -> str:
    numeric = [bool(table.rows) and all(_is_number(row[k]) for row in table.rows) for k in range(len(table.columns))]
    head = "".join(f"<th{' class=n' if n else ''}>{_text(c)}</th>" for c, n in zip(table.columns, numeric, strict=True))
    body = "".join(f"<tr>{_cells(row, numeric)}</tr>" for row in table.rows)
    caption = f"<caption>{_text(table.caption)}</caption>" if table.caption else ""
    return (
        f"<h3>{_text(table.title)}</h3><div class=wide><table>{caption}<thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[Any], numeric: Sequence[bool]) -> str:
    return "".join(f"<td{' class=n' if n else ''}>{_text(v)}</td>" for v, n in zip(row, numeric, strict=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or bool(re.match(r"[-+]?[0-9.]", str(value)))


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th scope=row>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in pairs)
    return f"<div class=wide><table><tbody>{rows}</tbody></table></div>"


def _facts(summary: Summary) -> str:
    nodes: dict[str, list[tuple[str, str]]] = {}
    for _, node, fact, value in summary.rows:
        nodes.setdefault(node, []).append((fact, value))
    return "".join(f"<h3>{_text(node)}</h3>{_pairs(pairs)}" for node, pairs in nodes.items())


def _provenance(report: Report) -> str:
    parts = ['<h2 id="provenance">How this was made</h2>', _pairs(report.provenance)]
    if report.results_file:
        parts.append(
            f"<p>Everything that was computed is in <code>{_text(report.results_file)}</code>, beside this file: "
            f"<code>xarray.open_datatree({_text(repr(report.results_file))}, engine='h5netcdf')</code>.</p>"
        )
    if report.files:
        rows = tuple((name, size, digest or "not taken (large)") for name, size, digest in report.files)
        body = "".join(
            f"<tr><td>{_text(name)}</td><td class=n>{size:,}</td><td class=mono>{_text(digest)}</td></tr>"
            for name, size, digest in rows
        )
        parts.append(
            "<h3>Input files</h3><div class=wide><table><thead><tr><th>file</th><th class=n>bytes</th>"
            f"<th>SHA-256</th></tr></thead><tbody>{body}</tbody></table></div>"
        )
    return f"<section>{''.join(parts)}</section>"


def _text(value: Any) -> str:
    return html.escape(str(value), quote=False)
