"""Bar: RDMs, noise covariances and geodesics against rsatoolbox, one thread, interleaved in one run.

rsatoolbox / ours, medians of 7 processor times after warm-up: Euclidean and correlation >= 5 at 200 conditions x 300
channels (8 runs), >= 1.5 at 500 x 1000, where both are bound by one product of matrices; crossnobis >= 5 and >= 2;
movie of 20 conditions, 64 channels, 8 runs, 100 times >= 50; shrinkage covariance >= 10; geodesic >= 6. Time over that
of a bare product of the mean patterns is printed beside. Spike train distances are set against plain NumPy loops, or
elephant where installed. Needs rsatoolbox (extra ``test``). The values of both are compared too.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import neurodata as nd
from neurodata._core.parallel import one_thread

REPEATS, TURN = 7, 0.05


def medians(*calls: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Median processor time (s) of a call of each, in turns of at least `TURN` s after one warm-up each.

    With one thread it is the wall time of a machine that does nothing else. A turn of many calls makes short ones start
    from the same state of the caches, not from what the other side has left.
    """
    numbers = []
    for call in calls:
        call()
        start = time.process_time()
        call()
        numbers.append(max(1, int(TURN / max(time.process_time() - start, 1e-6))))
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, number, times in zip(calls, numbers, spent, strict=True):
            start = time.process_time()
            for _ in range(number):
                call()
            times.append((time.process_time() - start) / number)
    return [float(np.median(times)) for times in spent]


class Report:
    """Lines of measured ratios, and how many miss their bar."""

    def __init__(self) -> None:
        self.missed = 0

    def line(self, name: str, bar: float | None, peer: float, own: float, difference: float, note: str = "") -> None:
        """Print one ratio, and say whether it meets its bar."""
        ratio = peer / own
        met = bar is None or ratio >= bar
        self.missed += not met
        verdict = "" if bar is None else f", bar >= {bar:g}: {'met' if met else 'missed'}"
        print(
            f"{name}: peer {1e3 * peer:.2f} ms, ours {1e3 * own:.3f} ms, ratio {ratio:.1f}{verdict}; "
            f"max difference {difference:.1e}{note}",
            flush=True,
        )


def patterns(n_runs: int, n_conditions: int, n_channels: int, rng: np.random.Generator) -> tuple[Any, xr.DataArray]:
    from rsatoolbox.data import Dataset

    values = rng.normal(size=(n_runs, n_conditions, n_channels)) + rng.normal(size=(n_conditions, n_channels))
    peer = Dataset(
        values.reshape(-1, n_channels),
        obs_descriptors={
            "condition": np.tile(np.arange(n_conditions), n_runs),
            "run": np.repeat(np.arange(n_runs), n_conditions),
        },
    )
    own = xr.DataArray(
        values, dims=("run", "condition", "channel"), coords={"condition": np.arange(n_conditions)}, name="pattern"
    )
    return peer, own


def upper(matrix: xr.DataArray) -> np.ndarray:
    rows, columns = np.triu_indices(matrix.shape[-1], 1)
    return matrix.values[..., rows, columns]


def estimators(report: Report, rng: np.random.Generator) -> None:
    from rsatoolbox.rdm import calc_rdm

    for n_conditions, n_channels, bars in ((200, 300, (5.0, 5.0, 5.0)), (500, 1000, (1.5, 1.5, 2.0))):
        peer, own = patterns(8, n_conditions, n_channels, rng)
        noise = np.cov(rng.normal(size=(n_channels, 2 * n_channels)))
        precision = np.linalg.inv(noise)
        mean = own.values.mean(axis=0)
        for measure, bar in zip(("euclidean", "correlation", "crossnobis"), bars, strict=True):
            options = {"noise": precision, "cv_descriptor": "run"} if measure == "crossnobis" else {}
            ours = {"noise_precision": precision} if measure == "crossnobis" else {}
            theirs, mine, bare = medians(
                lambda m=measure, o=options, p=peer: calc_rdm(p, method=m, descriptor="condition", **o),
                lambda m=measure, o=ours, x=own: nd.models.rdm(x, m, **o),
                lambda x=mean: x @ x.T,
            )
            reference = calc_rdm(peer, method=measure, descriptor="condition", **options).dissimilarities[0]
            difference = float(np.abs(reference - upper(nd.models.rdm(own, measure, **ours))).max())
            name = f"{measure} C{n_conditions} P{n_channels} M8"
            report.line(name, bar, theirs, mine, difference, f"; {mine / bare:.1f} x a bare product")


def movie(report: Report, rng: np.random.Generator) -> None:
    from rsatoolbox.data import TemporalDataset
    from rsatoolbox.rdm import calc_rdm_movie

    n_runs, n_conditions, n_channels, n_times = 8, 20, 64, 100
    values = rng.normal(size=(n_runs, n_conditions, n_channels, n_times))
    time_s = np.arange(n_times) * 0.01
    peer = TemporalDataset(
        values.reshape(-1, n_channels, n_times),
        obs_descriptors={
            "condition": np.tile(np.arange(n_conditions), n_runs),
            "run": np.repeat(np.arange(n_runs), n_conditions),
        },
        time_descriptors={"time": time_s},
    )
    own = xr.DataArray(values, dims=("run", "condition", "channel", "time"), coords={"time": time_s})
    precision = np.linalg.inv(np.cov(rng.normal(size=(n_channels, 200))))

    def theirs() -> Any:
        return calc_rdm_movie(peer, method="crossnobis", descriptor="condition", noise=precision, cv_descriptor="run")

    def ours() -> xr.DataArray:
        return nd.models.rdm_movie(own, "crossnobis", precision)

    spent = medians(theirs, ours)
    difference = float(np.abs(theirs().dissimilarities - upper(ours())).max())
    report.line("crossnobis movie C20 P64 M8, 100 times", 50.0, *spent, difference)


def covariances(report: Report, rng: np.random.Generator) -> None:
    from rsatoolbox.data.noise import cov_from_unbalanced

    for n_conditions, n_channels, repeats in ((200, 300, 5), (500, 1000, 1)):
        peer, own = patterns(8, n_conditions, n_channels, rng)
        for theirs, ours in (("shrinkage_eye", "shrinkage-identity"), ("shrinkage_diag", "shrinkage-diagonal")):
            spent = medians(
                lambda m=theirs, p=peer: cov_from_unbalanced(p, "condition", method=m),
                lambda m=ours, x=own: nd.models.noise_covariance(x, m),
                repeats=repeats,
            )
            reference = cov_from_unbalanced(peer, "condition", method=theirs)
            difference = float(np.abs(reference - nd.models.noise_covariance(own, ours).values).max())
            report.line(f"{ours} covariance C{n_conditions} P{n_channels} M8", 10.0, *spent, difference)


def geodesics(report: Report, rng: np.random.Generator) -> None:
    from rsatoolbox.rdm import RDMs
    from rsatoolbox.rdm.transform import geodesic_transform

    for n_conditions, n_rdms in ((62, 20), (100, 5), (200, 2)):
        points = rng.normal(size=(n_rdms, n_conditions, 5))
        far = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=-1)
        own = nd.models.make_rdm(far)
        rows, columns = np.triu_indices(n_conditions, 1)
        vectors = far[:, rows, columns]
        spent = medians(
            # The peer overwrites what it is given.
            lambda v=vectors: geodesic_transform(RDMs(v.copy())),
            lambda x=own: nd.models.geodesic(x),
        )
        reference = geodesic_transform(RDMs(vectors.copy())).dissimilarities
        # It also loses the closest pair's edge, of length 0: paths through it are longer there.
        difference = float(np.maximum(upper(nd.models.geodesic(own)) - reference, 0.0).max())
        report.line(f"geodesic C{n_conditions} x{n_rdms}", 6.0, *spent, difference, " (ours above the peer's: never)")


def plain_victor_purpura(first: np.ndarray, second: np.ndarray, cost: float) -> float:
    table = np.zeros((first.size + 1, second.size + 1))
    table[:, 0], table[0] = np.arange(first.size + 1), np.arange(second.size + 1)
    for i in range(first.size):
        for j in range(second.size):
            shift = table[i, j] + cost * abs(first[i] - second[j])
            table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, shift)
    return float(table[-1, -1])


def plain_van_rossum(first: np.ndarray, second: np.ndarray, tau: float) -> float:
    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.abs(a[:, None] - b) / tau).sum())

    return (overlap(first, first) + overlap(second, second)) / 2 - overlap(first, second)


def spike_trains(report: Report, rng: np.random.Generator) -> None:
    n_trials, duration = 40, 2.0
    trains = [np.sort(rng.uniform(0, duration, rng.poisson(40))) for _ in range(n_trials)]
    start = np.arange(n_trials) * 2 * duration
    spikes = nd.make_spikes(
        {"a": np.concatenate([t + s for t, s in zip(trains, start, strict=True)])},
        support=[[0.0, n_trials * 2 * duration]],
    )
    peers: dict[str, Callable[[], np.ndarray]] = {
        "victor-purpura": lambda: np.array([[plain_victor_purpura(a, b, 10.0) for b in trains] for a in trains]),
        "van-rossum": lambda: np.array([[plain_van_rossum(a, b, 0.05) for b in trains] for a in trains]),
    }
    label = "plain NumPy"
    if importlib.util.find_spec("elephant") is not None:
        import neo
        import quantities as pq
        from elephant.spike_train_dissimilarity import van_rossum_distance, victor_purpura_distance

        objects = [neo.SpikeTrain(train * pq.s, t_stop=duration * pq.s) for train in trains]
        label = "elephant"
        peers = {
            "victor-purpura": lambda: victor_purpura_distance(objects, 10.0 * pq.Hz),
            # Twice ours: it counts 1 for a single spike against none.
            "van-rossum": lambda: van_rossum_distance(objects, 0.05 * pq.s) ** 2 / 2.0,
        }
    for distance, peer in peers.items():

        def ours(distance: str = distance) -> xr.DataArray:
            return nd.models.spike_train_rdm(spikes, start, (0.0, duration), distance, cost=10.0, tau=0.05, by=None)

        spent = medians(peer, ours, repeats=3)
        difference = float(np.abs(peer() - ours().values).max())
        report.line(f"{distance}, {n_trials} trials of about 40 spikes, against {label}", None, *spent, difference)


def main() -> int:
    warnings.simplefilter("ignore")
    if importlib.util.find_spec("rsatoolbox") is None:
        print("rsatoolbox is not installed: pip install 'neurodata[test]'")
        return 1
    report, rng = Report(), np.random.default_rng(0)
    with one_thread():
        for part in (estimators, movie, covariances, geodesics, spike_trains):
            part(report, rng)
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
