"""Bars of WeightedSBM: weighted LFR graphs, planted graphs, calibration, time.

LFR graphs (`$NEURODATA_DATA/graphs/lfr_weighted`, nine configurations, N = 125): arithmetic NMI with the planted
communities, mean of the configurations' means over graphs with more than one community. The level chosen by the model
at least 0.50, of muw = .25 (configuration 7) 0.90, of mut = .25 (3) 0.95, of k = 10 (6) 0.20; the best level, chosen
with the truth, at least 0.63. Of the graphs with one community at least 85 % are left in one. CPU time per graph at
most 0.5 s. Beside: Leiden and Louvain (modularity, with and without weights) and spectral clustering with the number of
groups at the largest gap of eigenvalues.
Planted graphs: N = 150, four groups, log-normal weights, ratio of Kesten and Stigum 3 to 5: NMI at least 0.95.
Calibration: planted graphs with ratios from 0.8 to 2.5, the probability of the community of each node against how often
it is right after the best matching of labels, ten bins: expected calibration error at most 0.05.
A graph of 2000 nodes and 100000 links: less than 60 s.

`python -m benchmarks.bench_sbm lfr|planted|large` runs a part.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.metrics import normalized_mutual_info_score as nmi

from benchmarks._hmm_timing import said

CHANGES = ("beta .5", "beta 1", "beta 2", "mut .25", "mut .5", "mut .75", "k 10", "muw .25", "muw .75")
MEAN_BAR, BEST_BAR, NULL_BAR, TIME_BAR = 0.50, 0.63, 0.85, 0.5
OWN_BARS = {7: 0.90, 3: 0.95, 6: 0.20}
PLANTED_BAR, ECE_BAR, LARGE_BAR = 0.95, 0.05, 60.0


def leiden(edges: np.ndarray, weight: np.ndarray | None, n: int) -> np.ndarray:
    import igraph
    import leidenalg

    graph = igraph.Graph(n, edges.tolist())
    found = leidenalg.find_partition(graph, leidenalg.ModularityVertexPartition, weights=weight, seed=0)
    return np.array(found.membership)


def louvain(edges: np.ndarray, weight: np.ndarray | None, n: int) -> np.ndarray:
    import igraph

    return np.array(igraph.Graph(n, edges.tolist()).community_multilevel(weights=weight).membership)


def spectral(edges: np.ndarray, weight: np.ndarray | None, n: int) -> np.ndarray:
    from sklearn.cluster import SpectralClustering

    w = np.ones(len(edges)) if weight is None else np.asarray(weight)
    dense = np.zeros((n, n))
    dense[edges[:, 0], edges[:, 1]] = dense[edges[:, 1], edges[:, 0]] = w
    strength = dense.sum(axis=1)
    value = np.sort(np.linalg.eigvalsh(dense / np.sqrt(np.outer(strength, strength))))[::-1]
    k = 1 + int(np.argmax(value[:11] - value[1:12]))
    if k == 1:
        return np.zeros(n, dtype=int)
    return SpectralClustering(k, affinity="precomputed", random_state=0).fit_predict(dense)


def square(edges: np.ndarray, weight: np.ndarray, n: int) -> sparse.coo_array:
    both = (np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]])
    return sparse.coo_array((np.r_[weight, weight].astype(float), both), shape=(n, n))


def lfr() -> bool:
    import neurodata as nd

    folder = os.environ.get("NEURODATA_DATA")
    if not folder:
        print("NEURODATA_DATA is not set: no LFR graphs, their bars are not shown")
        return False
    data = np.load(Path(folder) / "graphs/lfr_weighted/lfr.npz")
    peers: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
        "Leiden, weights": lambda e, w, n: leiden(e, w, n),
        "Leiden": lambda e, w, n: leiden(e, None, n),
        "Louvain, weights": lambda e, w, n: louvain(e, w, n),
        "spectral, weights": lambda e, w, n: spectral(e, w, n),
        "spectral": lambda e, w, n: spectral(e, None, n),
    }
    n = data["community"].shape[1]
    table: dict[str, dict[int, list[float]]] = {name: {} for name in ("ours", "ours, best level", *peers)}
    alone: dict[str, list[int]] = {name: [] for name in ("ours", *peers)}
    cpu, near = [], []
    nd.models.WeightedSBM(rng=0).fit(square(data["edges_0"], data["weight_0"], n))  # compiled code
    for k in range(len(data["config"])):
        edges, weight, truth, config = data[f"edges_{k}"], data[f"weight_{k}"], data["community"][k], data["config"][k]
        graph = square(edges, weight, n)
        before = time.process_time()
        model = nd.models.WeightedSBM(rng=k).fit(graph)
        cpu.append(time.process_time() - before)
        found = {"ours": model.community_.values} | {name: peer(edges, weight, n) for name, peer in peers.items()}
        n_true = len(np.unique(truth))
        if n_true == 1:
            for name, one in found.items():
                alone[name].append(len(np.unique(one)))
            continue
        near.append(abs(len(np.unique(found["ours"])) - n_true) <= 1)
        for name, one in found.items():
            table[name].setdefault(int(config), []).append(nmi(truth, one))
        best = max(nmi(truth, one) for one in model.levels_.values)
        table["ours, best level"].setdefault(int(config), []).append(best)
    print("| NMI | " + " | ".join(CHANGES) + " | mean | one group left in one |\n|" + "---|" * 12)
    means = {name: {c: float(np.mean(v)) for c, v in sorted(row.items())} for name, row in table.items()}
    for name, row in means.items():
        share = f"{np.mean(np.array(alone[name]) == 1):.2f}" if name in alone else ""
        cells = " | ".join(f"{row[c]:.2f}" for c in range(9))
        print(f"| {name} | {cells} | {np.mean(list(row.values())):.3f} | {share} |")
    ours = means["ours"]
    beside = f"; number of communities within 1 of the truth in {np.mean(near):.2f}"
    met = [said("LFR, mean NMI of configurations", np.mean(list(ours.values())), MEAN_BAR, least=True, beside=beside)]
    met += [said(f"LFR, {CHANGES[c]}", ours[c], bar, least=True) for c, bar in OWN_BARS.items()]
    best = float(np.mean(list(means["ours, best level"].values())))
    met.append(said("LFR, level chosen with the truth", best, BEST_BAR, least=True))
    met.append(said("one community left in one", np.mean(np.array(alone["ours"]) == 1), NULL_BAR, least=True))
    beside = f"; largest {max(cpu):.2f}; load {os.getloadavg()[0]:.1f}"
    met.append(said("CPU s per LFR graph, median", float(np.median(cpu)), TIME_BAR, least=False, beside=beside))
    return all(met)


def planted(
    n: int, n_groups: int, degree: float, ratio: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Log-normal weights on links that are denser within q equal groups: ratio (c_in - c_out)^2 / (q^2 c)."""
    gap = n_groups * np.sqrt(ratio * degree)
    outside = degree - gap / n_groups
    group = np.arange(n) % n_groups
    chance = np.where(group[:, None] == group, outside + gap, outside) / n
    shift = 0.3 * (group[:, None] == group)
    weight = np.triu(np.exp(0.5 * rng.standard_normal((n, n)) + shift) * (rng.random((n, n)) < chance), 1)
    return weight + weight.T, group


def planted_graphs() -> bool:
    import neurodata as nd
    from neurodata.diagnostics.partitions import match_labels

    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        weight, group = planted(150, 4, 25.0, (3.0, 4.0, 5.0)[seed % 3], rng)
        found.append(nmi(group, nd.models.WeightedSBM(rng=seed).fit(weight).community_.values))
    beside = f"; least {min(found):.3f}"
    met = [said("planted, ratio 3 to 5, mean NMI", np.mean(found), PLANTED_BAR, least=True, beside=beside)]
    sure, right = [], []
    for seed in range(30):
        rng = np.random.default_rng(100 + seed)
        weight, group = planted(100, 2 + seed % 3, 20.0, rng.uniform(0.8, 2.5), rng)
        model = nd.models.WeightedSBM(rng=seed).fit(weight)
        community = model.community_.values
        sure += model.community_prob_.values[np.arange(100), np.maximum(community, 0)].tolist()
        right += (match_labels(community, group) == group).tolist()
    p, hit = np.array(sure), np.array(right)
    which = np.minimum((p * 10).astype(int), 9)
    error = sum(abs(p[which == b].mean() - hit[which == b].mean()) * (which == b).mean() for b in np.unique(which))
    beside = f"; mean probability {p.mean():.3f}, right {hit.mean():.3f}, {p.size} nodes"
    met.append(said("expected calibration error", float(error), ECE_BAR, least=False, beside=beside))
    return all(met)


def large() -> bool:
    import neurodata as nd

    rng = np.random.default_rng(0)
    weight, group = planted(2000, 12, 100.0, 4.0, rng)
    graph = sparse.csr_array(weight)
    nd.models.WeightedSBM(rng=0).fit(planted(60, 2, 10.0, 3.0, rng)[0])  # compiled code
    wall, cpu = time.perf_counter(), time.process_time()
    model = nd.models.WeightedSBM(rng=0).fit(graph)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    beside = f"; CPU {cpu:.1f} s, {graph.nnz // 2} links, NMI {nmi(group, model.community_.values):.3f}"
    beside += f"; load {os.getloadavg()[0]:.1f}"
    return said("2000 nodes, s", wall, LARGE_BAR, least=False, beside=beside)


def main() -> int:
    from neurodata._core.parallel import one_thread

    parts = {"lfr": lfr, "planted": planted_graphs, "large": large}
    with one_thread():
        met = [part() for name, part in parts.items() if len(sys.argv) < 2 or name in sys.argv[1:]]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
