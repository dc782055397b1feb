"""Results in plain words, with their intervals."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from neurodata.validate._strata import Interval
    from neurodata.validate.match import Match

# Average precision (at one connected pair in ten) from which connections count as found: its interval is above this.
FOUND = 0.5
# A part of the statistics below this makes the twin a weak witness.
GOOD_MATCH = 0.75


def match_text(match: Match) -> str:
    """What a twin is and how near it comes."""
    table = match.table
    compared = match.compared
    n, good = int(compared.sum()), int((compared & table["within"].values).sum())
    n_units = int(table["recording"].sel(statistic="n_units"))
    lines = [
        f"Twin of {n_units} units over {match.duration:.0f} s: {match.circuit.n_neurons} neurons, {n_units} recorded.",
        f"{good} of {n} statistics are within 20 % of the recording's.",
        "",
        f"{'statistic':<24} {'recording':>10} {'error':>9} {'twin':>10} {'sd':>9} {'off by':>8}  within 20 %",
    ]
    for row in np.flatnonzero(compared):
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
    if table.attrs["window"] < 0.99 * match.duration:
        lines += ["", f"Statistics of the recording are means over windows of {table.attrs['window']:.0f} s."]
    return "\n".join(lines)


def trust_text(result: xr.Dataset, match: Match | None) -> str:
    """The verdict of `trust`, one paragraph per finding."""
    parts = [_twins(result, match), *_failures(result)]
    scored = _connections(result) + _reported(result) + _states(result) + _clusters(result) + _latents(result)
    if not scored and not result["error"].values.astype(bool).all():
        claims = result.attrs["claims"] or "nothing"
        parts.append(
            f"{result.attrs['model']} claims nothing that the truth of these twins can score (it claims: {claims}), so "
            "nothing can be said here about whether to believe it."
        )
    parts += scored
    if match is not None:
        parts.append(
            "The strength and number of the synapses in your recording are unknown. The twins assume that one pair in "
            "ten is connected at random and that neurons are leaky integrators; where your circuit is otherwise, so "
            "may the answer be."
        )
    return "\n".join(textwrap.fill(part, 100) for part in parts)


def _twins(result: xr.Dataset, match: Match | None) -> str:
    n, seconds = result.sizes["twin"], float(result.attrs["twin_duration"])
    if match is None:
        return (
            f"{result.attrs['model']} was fitted to {n} circuits that you passed, each simulated for {seconds:.0f} s."
        )
    table = match.table
    n_compared = int(match.compared.sum())
    n_units = int(table["recording"].sel(statistic="n_units"))
    text = (
        f"{result.attrs['model']} was fitted to {n} simulated twins of your recording: {n_units} recorded neurons of "
        f"{match.circuit.n_neurons}, {seconds:.0f} s each. {n_compared - len(match.missed)} of {n_compared} statistics "
        "are within 20 % of your recording's"
    )
    if match.missed:
        named = [f"{name} ({_off(table, name)})" for name in match.missed]
        text += f"; off are {', '.join(named)}"
    text += "."
    if match.score < GOOD_MATCH:
        text += " The twins are not much like your recording: take what follows as a hint at most."
    elif match.missed:
        text += " What follows holds less where it hangs on those."
    n_all = int(table.attrs["n_units_recorded"])
    if n_all > n_units:
        text += f" Your recording has {n_all} units; the twins stand for {n_units} of them, drawn at random."
    if seconds < 0.99 * match.duration:
        text += (
            f" Your recording lasts {match.duration:.0f} s, {match.duration / seconds:.1f} times as long as the twins, "
            "and finds more than is said here."
        )
    return text


def _off(table: xr.Dataset, name: str) -> str:
    relative = float(table["relative"].sel(statistic=name))
    return f"{relative:+.0%}" if np.isfinite(relative) else "0 in the recording"


def _failures(result: xr.Dataset) -> list[str]:
    errors = [text for text in result["error"].values.tolist() if text]
    if not errors:
        return []
    return [f"On {len(errors)} of {result.sizes['twin']} twins the model failed; the first error: {errors[0]}"]


def _connections(result: xr.Dataset) -> list[str]:
    """Which strengths of connections are found."""
    at = result.sel(quantity="average_precision")
    low_end, value = at["low"].values, at["estimate"].values
    known = np.isfinite(value)
    if not known.any():
        n_edges = int(result["n_edges"].sel(quantity="average_precision").sum())
        if "edge_score" in result.attrs["claims"].split(", "):
            return [f"About connections nothing can be said: the twins have only {n_edges} among the recorded units."]
        return []
    lower = result["psp_low"].values
    found = known & (low_end >= FOUND)
    # The weakest class from which on all stronger ones that could be judged are found.
    weakest = None
    for row in np.flatnonzero(known)[::-1]:
        if not found[row]:
            break
        weakest = row
    parts = []
    if weakest is not None:
        text = _interval(at["estimate_from"], at["low_from"], at["high_from"], weakest)
        parts.append(
            f"Connections of {lower[weakest]:g} mV or more are found in recordings like yours with average precision "
            f"{text}, where guessing has 0.10 and a perfect list 1."
        )
    else:
        parts.append("Connections of no strength are found reliably in recordings like yours.")
    for row in np.flatnonzero(known)[::-1]:
        if weakest is not None and row >= weakest:
            continue
        span = f"between {lower[row]:g} and {result['psp_high'].values[row]:g} mV"
        if not np.isfinite(result["psp_high"].values[row]):
            span = f"of {lower[row]:g} mV or more"
        text = _interval(at["estimate"], at["low"], at["high"], row)
        if value[row] < 0.25:
            ending = "this recording is too short or has too few spikes for them"
        else:
            ending = "some are found, many are missed"
        parts.append(f"Of connections {span}, average precision is {text}: {ending}.")
    if weakest is not None and weakest > 0 and known[weakest - 1]:
        ratio = (lower[weakest] / lower[weakest - 1]) ** 2
        parts.append(
            f"Evidence grows with the strength and with the root of the time, so connections half as strong as "
            f"{lower[weakest]:g} mV need a recording about {ratio:.0f} times as long."
        )
    return parts


def _interval(value: xr.DataArray, low: xr.DataArray, high: xr.DataArray, row: int) -> str:
    return _bracketed(float(value.values[row]), float(low.values[row]), float(high.values[row]))


def _bracketed(value: float, low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"{value:.2f} (one twin only)"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _mean(found: Interval) -> str:
    return _bracketed(found.value, found.low, found.high)


def _reported(result: xr.Dataset) -> list[str]:
    """What the model's own decisions are worth."""
    from neurodata.validate.trust import CONNECTED, GIVEN, UNCONNECTED, interval_of

    parts = []
    for kind in (CONNECTED, GIVEN):
        false = interval_of(result, "false_discovery_rate", kind)
        if false.n_twins > 1:
            parts.append(f"Of the connections that it reports, the part {_mean(false)} is false.")
        sign = interval_of(result, "sign_accuracy", kind)
        if np.isfinite(sign.value):
            parts.append(f"It tells excitation from inhibition in {_mean(sign)} of the true connections.")
    empty = result["kind"].values == UNCONNECTED
    if empty.any() and result["n_pairs"].values[empty].sum():
        called, n_pairs = result["n_called"].values[empty].sum(), result["n_pairs"].values[empty].sum()
        n_empty = int(empty.sum())
        parts.append(
            f"In {n_empty} twins without a single connection it reports {called} of {n_pairs} pairs as connected."
        )
    return parts


def _states(result: xr.Dataset) -> list[str]:
    from neurodata.validate.trust import GIVEN, SWITCHING, interval_of

    parts = []
    for kind in (SWITCHING, GIVEN):
        accuracy = interval_of(result, "state_accuracy", kind)
        if np.isfinite(accuracy.value):
            rows = result["kind"].values == kind
            chance = float(np.nanmean(result["chance"].sel(metric="state_accuracy").values[rows]))
            text = (
                "Where the slow drives of the twins are replaced by hidden states, it names the state rightly in the "
                f"part {_mean(accuracy)} of the time, where always naming the most frequent one gets {chance:.2f}."
            )
            change = interval_of(result, "change_f1", kind)
            if np.isfinite(change.value):
                text += f" Of changes of state, F1 is {_mean(change)}."
            parts.append(text)
    return parts


def _clusters(result: xr.Dataset) -> list[str]:
    from neurodata.validate.trust import CLUSTERED, GIVEN, interval_of

    parts = []
    for kind in (CLUSTERED, GIVEN):
        agreement = interval_of(result, "cluster_ari", kind)
        if np.isfinite(agreement.value):
            parts.append(
                f"Groups of units that share a slow drive are found with an adjusted Rand index of {_mean(agreement)}, "
                "where guessing has 0 and perfect grouping 1."
            )
    return parts


def _latents(result: xr.Dataset) -> list[str]:
    from neurodata.validate.trust import CONNECTED, GIVEN, interval_of

    parts = []
    for kind in (CONNECTED, GIVEN):
        r2 = interval_of(result, "latent_r2", kind)
        if np.isfinite(r2.value):
            parts.append(
                f"Shared drives are recovered with an R2 of {_mean(r2)} on time that was not used to map them."
            )
    return parts
