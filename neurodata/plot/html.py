"""Pieces of reports as one HTML file that needs nothing else: no network, no scripts, figures inside."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

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
p,li,dt,dd,summary{overflow-wrap:anywhere}
dd{margin:.1rem 0 .6rem 1rem}
summary{cursor:pointer;color:var(--accent)}
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


@dataclass(frozen=True)
class Picture:
    """A figure with its title, a caption that says how to read it, and what it shows in words for who cannot see it."""

    title: str
    caption: str
    figure: Figure | SubFigure
    alt: str = ""


@dataclass(frozen=True)
class Table:
    """A table: column headings, and rows of text and numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""


class Anchors:
    """Anchors that are unique on the page."""

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def make(self, text: str) -> str:
        """An anchor for a heading."""
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
        name, k = base, 2
        while name in self._taken:
            name, k = f"{base}-{k}", k + 1
        self._taken.add(name)
        return name


def page(title: str, body: str) -> str:
    """A whole HTML page in the common style."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # A browser asks for a favicon unless it is given one.
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def answer_html(lines: Sequence[str], style: str = "answer") -> str:
    """Sentences set apart from the rest: the answer, or (style "answer warn") a warning."""
    return f'<div class="{style}">' + "".join(f"<p>{escape(line)}</p>" for line in lines) + "</div>" if lines else ""


def figure_html(picture: Picture, level: int = 3) -> str:
    """A picture under its title, a heading of `level`."""
    alt = html.escape(picture.alt or picture.title, quote=True)
    return (
        f"<h{level}>{escape(picture.title)}</h{level}><figure>"
        f'<img alt="{alt}" src="data:image/png;base64,{png(picture.figure)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def png(figure: Any) -> str:
    """A figure as base64 text of a PNG."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, pil_kwargs={"optimize": True})
    return base64.b64encode(drawn.getvalue()).decode("ascii")


def table_html(table: Table, level: int = 3) -> str:
    """A table under its title, a heading of `level`; numbers are aligned to the right."""
    numeric = [bool(table.rows) and all(_is_number(row[k]) for row in table.rows) for k in range(len(table.columns))]
    head = "".join(
        f"<th scope=col{' class=n' if n else ''}>{escape(c)}</th>" for c, n in zip(table.columns, numeric, strict=True)
    )
    body = "".join(f"<tr>{_cells(row, numeric)}</tr>" for row in table.rows)
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return (
        f"<h{level}>{escape(table.title)}</h{level}><div class=wide><table>{caption}<thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[Any], numeric: Sequence[bool]) -> str:
    return "".join(f"<td{' class=n' if n else ''}>{escape(v)}</td>" for v, n in zip(row, numeric, strict=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or bool(re.match(r"[-+]?[0-9.]", str(value)))


def pairs_html(rows: Sequence[tuple[str, str]]) -> str:
    """A table of two columns, what and value."""
    body = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<div class=wide><table><tbody>{body}</tbody></table></div>"


def escape(value: Any) -> str:
    """Text as HTML shows it."""
    return html.escape(str(value), quote=False)
