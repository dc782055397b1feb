"""Summaries of draws of a partition, against entropies by scikit-learn and search over all partitions."""

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from neurodata.diagnostics.partitions import (
    canonical,
    credible_ball,
    expected_loss,
    match_labels,
    point_partition,
    similarity,
    variation_of_information,
)
from neurodata.kernels import partitions_nb


def entropy(labels):
    p = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(p * np.log(p)).sum()


def all_partitions(n):
    for labels in product(range(n), repeat=n):
        if all(labels[i] <= max(labels[:i], default=-1) + 1 for i in range(n)):
            yield np.array(labels)


@pytest.mark.parametrize("seed", range(5))
def test_variation_of_information_is_that_of_entropies(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, 40), rng.integers(0, 6, 40) * 3
    expected = entropy(a) + entropy(b) - 2 * mutual_info_score(a, b)
    assert variation_of_information(a, b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_point_partition_is_best_of_all(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 6)
    draws = np.stack([np.where(rng.random(6) < 0.25, rng.integers(0, 4, 6), truth) for _ in range(30)])
    found = point_partition(draws)
    every = [np.mean([variation_of_information(c, d) for d in draws]) for c in all_partitions(6)]
    assert expected_loss(found, draws) == pytest.approx(min(every), abs=1e-9)


def test_compiled_search_does_what_its_python_does():
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 3, (12, 9))
    for rounds in (0, 10):
        one, two = np.zeros(9, dtype=np.int64), np.zeros(9, dtype=np.int64)
        python = partitions_nb.sweeten.py_func
        assert partitions_nb.sweeten(one, draws, 4, rounds) == pytest.approx(python(two, draws, 4, rounds))
        np.testing.assert_array_equal(one, two)


def test_similarity_counts_shared_labels():
    draws = np.array([[0, 0, 1], [1, 1, 1], [0, 1, 0], [2, 2, 0]])
    np.testing.assert_allclose(similarity(draws), [[1, 0.75, 0.5], [0.75, 1, 0.25], [0.5, 0.25, 1]])


def test_many_bins_and_labels_of_any_name():
    truth = np.repeat([4, 9, 4, 9], 250)
    rng = np.random.default_rng(1)
    draws = np.stack([np.roll(truth, rng.integers(-3, 4)) for _ in range(300)])
    found = point_partition(draws)
    assert len(np.unique(found)) == 2
    assert np.mean(match_labels(found, truth) == truth) > 0.99


def test_credible_ball_holds_its_share():
    rng = np.random.default_rng(2)
    truth = np.repeat([0, 1], 10)
    draws = np.stack([np.where(rng.random(20) < 0.1, 2, truth) for _ in range(200)])
    point = point_partition(draws)
    ball = credible_ball(draws, point, 0.9)
    distance = np.array([variation_of_information(d, point) for d in draws])
    assert np.mean(distance <= ball.radius + 1e-12) >= 0.9
    assert np.mean(distance < ball.radius - 1e-12) < 0.9
    assert variation_of_information(ball.farthest, point) == pytest.approx(ball.radius)
    assert len(np.unique(ball.fewest)) <= len(np.unique(ball.most))


def test_labels_of_a_renamed_partition_come_back():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 60)
    name = rng.permutation(5) + 10
    np.testing.assert_array_equal(match_labels(name[labels], labels), labels)
    np.testing.assert_array_equal(canonical(name[labels]), canonical(labels))
