"""Results in plain words, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from neurodata.validate.match import Match


def match_text(match: Match) -> str:
    """What a twin is and how near it comes."""
    table = match.table
    compared = np.isfinite(table["recording"].values) & ~table["given"].values
    n, good = int(compared.sum()), int((compared & table["within"].values).sum())
    lines = [
        f"Twin of {int(table['recording'].sel(statistic='n_units'))} units over {match.duration:.0f} s: "
        f"{match.circuit.n_neurons} neurons, of which the units are recorded.",
        f"{good} of {n} statistics are within 20 % of the recording's.",
        "",
        f"{'statistic':<24} {'recording':>10} {'error':>9} {'twin':>10} {'sd':>9} {'off by':>8}  within 20 %",
    ]
    for row in range(table.sizes["statistic"]):
        if not compared[row]:
            continue
        value = {name: float(table[name].values[row]) for name in ("recording", "error", "twin", "twin_sd", "relative")}
        mark = "yes" if table["within"].values[row] else "no"
        if mark == "no" and table["judged"].values[row]:
            mark = "no, but within its sampling error"
        off = f"{value['relative']:+.0%}" if np.isfinite(value["relative"]) else ""
        lines.append(
            f"{table['statistic'].values[row]:<24} {value['recording']:>10.4g} {value['error']:>9.2g} "
            f"{value['twin']:>10.4g} {value['twin_sd']:>9.2g} {off:>8}  {mark}"
        )
    if table.attrs["unavailable"]:
        lines += ["", f"The data cannot give: {table.attrs['unavailable']}."]
    return "\n".join(lines)
