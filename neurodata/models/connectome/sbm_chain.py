"""One chain of the sampler of the weighted stochastic block model: a start, annealing, draws, and its evidence."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from neurodata.kernels import sbm_evidence_nb as evidence_nb
from neurodata.kernels import sbm_moves_nb as moves_nb
from neurodata.kernels.sbm_topology_nb import log_links
from neurodata.kernels.sbm_weights_nb import ADDITIVE, LOG_HIGH, LOG_LOW, N_PARAMETERS
from neurodata.models.connectome.sbm_prior import Problem

# Passes in which the parameters of a given partition find their place.
_FREE = 15
_WIDE, _NARROW = 0.5, 0.02
# Passes before draws, in which steps adapt.
_ADAPT = 10
# Draws by which a state is judged.
_JUDGED = 3
# One draw in so many has its evidence worked out.
_EVERY = 6


class State(NamedTuple):
    """Where a chain is: a partition with its sums, effects (2, node), parameters of weights and of link rates."""

    blocks: moves_nb.Blocks
    effect: np.ndarray
    parameters: np.ndarray
    shape: np.ndarray


class Drawn(NamedTuple):
    """Draws of one chain.

    Attributes
    ----------
    group : array (draw, node)
    parameters : array (draw, parameter)
    shape : array (draw, 2, 2)
    bound : float
        Estimate of the log evidence of what the chain explored: mean log density, the entropy of nodes given all else
        and that of parameters.
    state : State
        The last.
    """

    group: np.ndarray
    parameters: np.ndarray
    shape: np.ndarray
    bound: float
    state: State


class Sweeper:
    """Passes over nodes and parameters of one problem, from a state that they change."""

    def __init__(self, problem: Problem, state: State, rng: np.random.Generator) -> None:
        self.problem, self.state, self.rng = problem, state, rng
        # Of the scales; intercepts need none.
        self.step = np.array([0.0, 0.0, 0.1, 0.1, 0.1, 0.2])

    def nodes(self, power: float = 1.0, exact: bool = True, stay: bool = False) -> float:
        """One pass over the nodes; gives the sum of the entropies of their groups, each given all else."""
        graph, family, prior = self.problem.graph, self.problem.family, self.problem.prior
        return moves_nb.move_nodes(
            self.rng, graph, family, self.state.blocks, self.state.effect, self.state.parameters, self.state.shape,
            prior, power, exact, stay,
        )[2]  # fmt: skip

    def rest(self, rate: float, times: int = 1) -> None:
        """Parameters of weights, `times` over, and of link rates."""
        graph, family, prior = self.problem.graph, self.problem.family, self.problem.prior
        blocks, effect, parameters, shape = self.state
        for _ in range(times):
            moves_nb.move_parameters(self.rng, graph, family, blocks, effect, parameters, prior, self.step, rate)
        moves_nb.shift_effects(self.rng, effect, parameters, prior)
        moves_nb.move_shape(self.rng, blocks, shape, prior)


def start_state(problem: Problem, group: np.ndarray, n_slots: int) -> State:
    """A state with this partition and everything else where a graph without groups has it."""
    n_kinds = problem.graph.link.shape[0]
    blocks = moves_nb.Blocks(
        group.astype(np.int64),
        np.zeros(n_slots, dtype=np.int64),
        np.zeros((n_slots, n_slots)),
        np.zeros((n_slots, n_slots)),
        np.zeros((n_slots, n_kinds)),
    )
    moves_nb.count(problem.graph, blocks)
    parameters = problem.prior.parameters[0].copy()
    parameters[LOG_HIGH] = math.log(problem.noise)
    return State(blocks, np.array([problem.effect, problem.effect]), parameters, problem.prior.shape[0].copy())


def settle(
    problem: Problem, group: np.ndarray, n_slots: int, led: int, rng: np.random.Generator
) -> tuple[State, float]:
    """Everything but the partition, which is given, where it is likely; and its log evidence.

    The noise is led from wide to narrow in `led` passes: of sums that are nearly exact, most starts would find a few
    and be caught.
    """
    state = start_state(problem, group, n_slots)
    sweeper = Sweeper(problem, state, rng)
    led = led if problem.family == ADDITIVE else 0
    for k in range(led + _FREE):
        if k < led:
            part = k / led
            state.parameters[LOG_HIGH] = (1.0 - part) * math.log(_WIDE) + part * math.log(_NARROW)
        sweeper.nodes(exact=False, stay=True)
        sweeper.rest(0.2, 1 if k < led else 2)
    if state.blocks.size[0] == group.size:
        return state, log_evidence(problem, state) + problem.jacobian
    return state, worth(sweeper)


def anneal(
    problem: Problem, state: State, powers: tuple[float, float], n_sweeps: int, rng: np.random.Generator
) -> tuple[State, float]:
    """From a state on, with probabilities of groups that sharpen, to a likely one; and its log evidence."""
    sweeper = Sweeper(problem, state, rng)
    for k in range(n_sweeps):
        sweeper.nodes(powers[0] + (powers[1] - powers[0]) * k / n_sweeps, exact=False)
        sweeper.rest(0.2, 2)
    return state, worth(sweeper)


def worth(sweeper: Sweeper) -> float:
    """Log evidence of what is about a state: of a few draws, and their entropy.

    The entropy of each node given all others is at most that of the partition: uncertain partitions are not favoured.
    """
    values = []
    for _ in range(_JUDGED):
        entropy = sweeper.nodes()
        sweeper.rest(0.0)
        values.append(log_evidence(sweeper.problem, sweeper.state) + entropy)
    return float(np.mean(values)) + sweeper.problem.jacobian


def draw(problem: Problem, state: State, n_draws: int, rng: np.random.Generator) -> Drawn:
    """Draws from the posterior, from a likely state on."""
    sweeper = Sweeper(problem, state, rng)
    for _ in range(_ADAPT):
        sweeper.nodes()
        sweeper.rest(0.2, 2)
    groups = np.empty((n_draws, state.blocks.group.size), dtype=np.int64)
    drawn = np.empty((n_draws, N_PARAMETERS))
    shapes = np.empty((n_draws, 2, 2))
    values = []
    for k in range(n_draws):
        entropy = sweeper.nodes()
        sweeper.rest(0.0)
        groups[k], drawn[k], shapes[k] = state.blocks.group, state.parameters, state.shape
        if k % _EVERY == 0:
            values.append(log_evidence(problem, state) + entropy)
    bound = float(np.mean(values)) + _parameter_entropy(drawn, problem)
    return Drawn(groups, drawn, shapes, bound + problem.jacobian, state)


def log_evidence(problem: Problem, state: State) -> float:
    """Log density of graph, partition and parameters, effects of nodes integrated out; up to a constant."""
    blocks, effect, parameters, shape = state
    graph, family, prior = problem.graph, problem.family, problem.prior
    value = evidence_nb.log_evidence_weights(graph, family, blocks.group, effect.copy(), parameters, 20)
    value += log_links(blocks.size, blocks.links, blocks.expected, shape)
    return value + moves_nb.log_partition_prior(blocks.size, prior) + moves_nb.log_parameters(family, parameters, prior)


def _parameter_entropy(drawn: np.ndarray, problem: Problem) -> float:
    """Of independent normal distributions with the draws' spread, relative to the normalisers of the priors."""
    sd = np.maximum(drawn.std(axis=0), 1e-12) / problem.prior.parameters[1]
    unused = [] if problem.family == ADDITIVE else [LOG_LOW] if problem.family < ADDITIVE else [LOG_HIGH, LOG_LOW]
    return float((np.log(np.delete(sd, unused)) + 0.5).sum())
