"""Kernels of the weighted stochastic block model against integrals, loops and enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from neurodata.kernels import sbm_evidence_nb as evidence_nb
from neurodata.kernels import sbm_moves_nb as moves_nb
from neurodata.kernels import sbm_topology_nb as topology_nb
from neurodata.kernels import sbm_weights_nb as weights_nb
from neurodata.models.connectome.sbm_chain import start_state
from neurodata.models.connectome.sbm_graph import read_links
from neurodata.models.connectome.sbm_prior import make_problem

FAMILIES = {"lognormal": 0, "additive": 1, "exponential": 2, "poisson": 3}


@pytest.fixture
def graph():
    """Nine nodes of very different degrees, log-normal weights."""
    rng = np.random.default_rng(4)
    t = np.linspace(0.3, 3.0, 9)
    linked = rng.random((9, 9)) < np.outer(t, t) / (1 + np.outer(t, t))
    weight = np.triu(np.exp(rng.normal(size=(9, 9))) * linked, 1)
    weight[0, 1] = 1.0
    return weight + weight.T


def problem_of(weight, family="lognormal", most=4):
    return make_problem(read_links(weight, family), family, most, 0.3, 1.0)


def test_expected_degrees_are_those_observed():
    degree, count = np.array([2.0, 5.0, 9.0, 16.0]), np.array([10.0, 12.0, 8.0, 6.0])
    t = topology_nb.propensities(degree, count, 5000, 1e-10)
    link = np.outer(t, t) / (1 + np.outer(t, t))
    assert np.allclose(link @ count - np.diag(link), degree, rtol=1e-6)


@pytest.mark.parametrize("links", [0, 3, 20])
def test_evidence_of_a_block_is_an_integral_over_its_rate(links):
    shape, expected = np.log([[3.0, 0.8], [5.0, 1.5]]), 7.0
    table = topology_nb.block_table(25, shape)
    for within in range(2):
        alpha, mean = np.exp(shape[within])
        prior = stats.gamma(alpha, scale=mean / alpha)
        direct = integrate.quad(lambda r, p=prior: r**links * math.exp(-r * expected) * p.pdf(r), 0, 40, limit=200)[0]
        value = topology_nb.log_block(within, links, expected, shape)
        assert value == pytest.approx(math.log(direct), abs=1e-6)
        assert topology_nb.log_block_by(table, within, links, expected, alpha, alpha / mean) == pytest.approx(value)


@pytest.mark.parametrize("eta", [-3.0, -0.4, 0.7, 4.0])
@pytest.mark.parametrize("family", ["lognormal", "additive", "exponential"])
def test_densities_of_weights_sum_to_one(family, eta):
    code, scale = FAMILIES[family], 0.7 if family != "exponential" else 1.0

    def density(log_w):
        w, y = np.array([math.exp(log_w)]), np.empty(1)
        jacobian = weights_nb.transform(code, w, scale, y)
        return math.exp(weights_nb.log_weight(code, y[0], eta, 0.3, 0.8) + jacobian + log_w)

    centre = math.log(scale * (1 + max(eta, 0))) if family == "additive" else eta + math.log(scale)
    total = sum(
        integrate.quad(density, a, b, limit=400)[0]
        for a, b in itertools.pairwise([-60, -8, centre - 0.5, centre, centre + 0.5, 9, 60])
    )
    assert total == pytest.approx(1.0, abs=2e-4)


def test_counts_have_probabilities_that_sum_to_one():
    k = np.arange(1.0, 80.0)
    for eta in (-2.0, 0.0, 2.0):
        value = [weights_nb.log_weight(FAMILIES["poisson"], one, eta, 1.0, 1.0) - math.lgamma(one + 1) for one in k]
        assert np.exp(value).sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("eta", [-1.0, 1.5])
def test_drawn_weights_have_the_density(family, eta):
    code, scale = FAMILIES[family], 0.7 if FAMILIES[family] < 2 else 1.0
    rng = np.random.default_rng(1)
    drawn = np.array([weights_nb.draw_weight(rng, code, eta, 0.3, 0.8, scale) for _ in range(4000)])
    if family == "poisson":
        k = np.arange(1.0, 200.0)
        p = np.exp([weights_nb.log_weight(code, one, eta, 1.0, 1.0) - math.lgamma(one + 1) for one in k])
        assert drawn.mean() == pytest.approx((k * p).sum(), abs=5 * drawn.std() / 4000**0.5)
        return
    y = np.empty(drawn.size)
    weights_nb.transform(code, drawn, scale, y)
    if family == "exponential":
        assert stats.kstest(drawn, stats.expon(scale=math.exp(eta)).cdf).pvalue > 1e-3
        return
    mean = -math.log1p(-eta) if family == "additive" and eta < 0 else eta
    noise = weights_nb.noise_scale(code, eta, 0.3, 0.8)
    assert stats.kstest((y - mean) / noise, stats.t(weights_nb.DOF).cdf).pvalue > 1e-3


def test_the_evidence_of_one_node_is_an_integral_over_its_effects():
    rng = np.random.default_rng(2)
    y = rng.normal(0.5, 0.6, 12)
    offset, within = rng.normal(0, 0.3, (2, 12)), np.arange(12) % 2
    parameters = np.array([0.0, 0.0, math.log(0.5), math.log(0.5), math.log(0.8), math.log(0.4)])
    diagonal, cross, log_det = weights_nb.effect_precision(parameters)
    mean, hessian = np.empty(2), np.empty(3)
    given = (FAMILIES["lognormal"], y, offset, within, 12, parameters, diagonal, cross, log_det)
    value = weights_nb.fit_node(*given, mean, hessian)
    direct = integrate.dblquad(
        lambda b, a: math.exp(weights_nb.node_log_joint(*given, a, b)),
        mean[0] - 3,
        mean[0] + 3,
        mean[1] - 3,
        mean[1] + 3,
    )[0]
    # Laplace's method: the posterior of 6 weights each is nearly normal.
    assert value == pytest.approx(math.log(direct), abs=0.15)


def test_precision_of_effects_is_the_inverse_of_their_covariance():
    shared, own = 0.8, 0.3
    parameters = np.array([0, 0, 0, 0, math.log(shared), math.log(own)])
    diagonal, cross, log_det = weights_nb.effect_precision(parameters)
    covariance = np.array([[shared**2 + own**2, shared**2 - own**2], [shared**2 - own**2, shared**2 + own**2]])
    assert np.allclose(np.linalg.inv(covariance), [[diagonal, cross], [cross, diagonal]])
    assert log_det == pytest.approx(-np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("family", ["lognormal", "additive"])
def test_sums_of_a_partition_stay_right_while_nodes_move(graph, family):
    problem = problem_of(graph, family)
    state = start_state(problem, np.arange(9) % 3, 5)
    rng = np.random.default_rng(0)
    for _ in range(30):
        moves_nb.move_nodes(
            rng, problem.graph, problem.family, state.blocks, state.effect, state.parameters, state.shape,
            problem.prior, 0.2, True, False,
        )  # fmt: skip
    z, linked = state.blocks.group, graph > 0
    chance = problem.graph.link[np.ix_(problem.graph.kind, problem.graph.kind)]
    for r in range(5):
        for s in range(r + 1):
            pairs = [(i, j) for j in range(9) for i in range(j) if {z[i], z[j]} == {r, s}]
            assert state.blocks.links[r, s] == pytest.approx(sum(linked[i, j] for i, j in pairs))
            assert state.blocks.expected[s, r] == pytest.approx(sum(chance[i, j] for i, j in pairs), abs=1e-9)
    assert np.array_equal(state.blocks.size, np.bincount(z, minlength=5))


def test_the_density_of_all_weights_is_a_sum_over_links(graph):
    for family in ("lognormal", "additive"):
        problem = problem_of(graph, family)
        rng = np.random.default_rng(0)
        z, effect = rng.integers(0, 3, 9), rng.normal(size=(2, 9))
        parameters = np.array([0.2, -0.3, -1.0, 0.1, 0.0, 0.0])
        g = problem.graph
        total = 0.0
        for i in range(9):
            for q in range(g.start[i], g.start[i + 1]):
                j, c = g.neighbour[q], int(z[i] == z[g.neighbour[q]])
                eta = parameters[c] + effect[c, i] + effect[c, j]
                total += 0.5 * weights_nb.log_weight(problem.family, g.y[q], eta, math.exp(-1.0), math.exp(0.1))
        value = weights_nb.log_all(problem.family, g.start, g.neighbour, g.y, z, effect, parameters)
        assert value == pytest.approx(total)


def test_the_evidence_of_weights_agrees_with_a_mean_over_effects(graph):
    problem = problem_of(graph)
    g, z = problem.graph, np.arange(9) % 2
    parameters = np.array([0.0, 0.0, math.log(1.0), 0.0, math.log(0.25), math.log(0.2)])
    value = evidence_nb.log_evidence_weights(g, 0, z, np.zeros((2, 9)), parameters, 50)
    rng = np.random.default_rng(0)
    a, b = 0.25 * rng.standard_normal((20000, 9)), 0.2 * rng.standard_normal((20000, 9))
    draws = np.stack([a - b, a + b], axis=1)
    each = np.array([weights_nb.log_all(0, g.start, g.neighbour, g.y, z, one, parameters) for one in draws])
    assert value == pytest.approx(np.log(np.mean(np.exp(each - each.max()))) + each.max(), abs=0.15)


def partitions(n):
    return [
        z for z in itertools.product(range(n), repeat=n) if all(z[i] <= max(z[:i], default=-1) + 1 for i in range(n))
    ]


def frequencies(problem, parameters, shape, sweeps, exact, rng):
    """How often each partition is drawn by passes over the nodes, parameters held."""
    n = problem.graph.kind.size
    state = start_state(problem, np.zeros(n, dtype=np.int64), n + 1)
    state.parameters[:], state.shape[:] = parameters, shape
    found = {}
    for _ in range(sweeps):
        moves_nb.move_nodes(
            rng, problem.graph, problem.family, state.blocks, state.effect, state.parameters, state.shape,
            problem.prior, 1.0, exact, False,
        )  # fmt: skip
        first = {}
        key = tuple(first.setdefault(g, len(first)) for g in state.blocks.group.tolist())
        found[key] = found.get(key, 0) + 1
    return {key: value / sweeps for key, value in found.items()}


def enumerated(problem, parameters, shape, n, rng):
    """Posterior of every partition, effects integrated out by their prior's draws."""
    a = math.exp(parameters[4]) * rng.standard_normal((4000, n))
    b = math.exp(parameters[5]) * rng.standard_normal((4000, n))
    draws = np.stack([a - b, a + b], axis=1)
    g = problem.graph
    value = {}
    for key in partitions(n):
        state = start_state(problem, np.array(key), n + 1)
        each = [
            weights_nb.log_all(problem.family, g.start, g.neighbour, g.y, np.array(key), one, parameters)
            for one in draws
        ]
        top = max(each)
        value[key] = math.log(np.mean(np.exp(np.array(each) - top))) + top
        value[key] += topology_nb.log_links(state.blocks.size, state.blocks.links, state.blocks.expected, shape)
        value[key] += moves_nb.log_partition_prior(state.blocks.size, problem.prior)
    top = max(value.values())
    total = sum(math.exp(one - top) for one in value.values())
    return {key: math.exp(one - top) / total for key, one in value.items()}


@pytest.mark.parametrize("family", ["lognormal", "additive"])
def test_partitions_of_five_nodes_are_drawn_as_enumeration_says_and_not_by_a_broken_sampler(family):
    rng = np.random.default_rng(7)
    linked = np.array([[0, 1, 1, 1, 0], [1, 0, 1, 0, 0], [1, 1, 0, 0, 1], [1, 0, 0, 0, 1], [0, 0, 1, 1, 0]])
    weight = np.triu(np.exp(rng.normal(size=(5, 5))) * linked, 1)
    problem = problem_of(weight + weight.T, family, most=5)
    parameters = np.array([-0.4, 0.8, math.log(0.6), math.log(0.6), math.log(0.5), math.log(0.4)])
    shape = np.log([[2.0, 0.6], [2.0, 1.8]])
    truth = enumerated(problem, parameters, shape, 5, rng)

    def distance(exact, shape):
        found = frequencies(problem, parameters, shape, 20000, exact, np.random.default_rng(0))
        return 0.5 * sum(abs(found.get(key, 0.0) - p) for key, p in truth.items())

    # 52 partitions, some 10000 independent draws: the expected distance is about half the sum of sqrt(p / 10000).
    bar = 2.5 * 0.5 * sum(math.sqrt(2 / math.pi * p / 8000) for p in truth.values()) + 0.01
    assert distance(True, shape) < bar
    assert distance(True, np.log([[2.0, 1.8], [2.0, 0.6]])) > 2 * bar


def test_scales_and_effects_have_their_prior_when_weights_are_drawn_anew():
    """Geweke's test: weights given the rest, the rest given weights, alternately; what is left is the prior."""
    rng = np.random.default_rng(0)
    n = 6
    weight = np.triu(np.ones((n, n)), 1)
    problem = problem_of(weight + weight.T + 0.0, "lognormal")
    prior = problem.prior._replace(
        parameters=np.array([[0.0, 0.0, -0.5, 0.0, -0.7, -1.0], [0.5, 0.5, 0.3, 0.5, 0.3, 0.3]])
    )
    group = np.array([0, 0, 0, 1, 1, 1])
    state = start_state(problem, group, 5)
    state.parameters[:] = prior.parameters[0]
    state.effect[:] = 0.0
    step, g = np.full(6, 0.4), problem.graph
    row = np.repeat(np.arange(n), np.diff(g.start))
    back = {(i, j): q for q, (i, j) in enumerate(zip(row, g.neighbour, strict=True))}
    seen = []
    for _ in range(12000):
        for (i, j), q in back.items():
            if i < j:
                c = int(group[i] == group[j])
                eta = state.parameters[c] + state.effect[c, i] + state.effect[c, j]
                u = math.log(weights_nb.draw_weight(rng, 0, eta, math.exp(state.parameters[2]), 1.0, 1.0))
                g.y[q] = g.y[back[j, i]] = u
        moves_nb.move_nodes(
            rng, g, 0, state.blocks, state.effect, state.parameters, state.shape, prior, 1.0, True, True
        )
        moves_nb.jitter_effects(rng, g, 0, state.blocks, state.effect, state.parameters, 1.0)
        moves_nb.move_parameters(rng, g, 0, state.blocks, state.effect, state.parameters, prior, step, 0.0)
        moves_nb.shift_effects(rng, state.effect, state.parameters, prior)
        seen.append(state.parameters.copy())
    seen = np.array(seen)[1000:]
    for p in (0, 1, 2, 4, 5):
        batches = seen[:, p].reshape(20, -1).mean(axis=1)
        error = batches.std(ddof=1) / math.sqrt(20)
        mean, sd = prior.parameters[:, p]
        assert abs(seen[:, p].mean() - mean) < 4 * error, p
        assert seen[:, p].std() == pytest.approx(sd, rel=0.2), p
