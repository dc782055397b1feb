"""WeightedSBM: what it takes, what it refuses, what it gives back."""

import numpy as np
import pytest
import xarray as xr
from scipy import sparse
from sklearn.base import clone

import neurodata as nd
from neurodata.errors import NotFittedError, OptionError, RecordingError


def planted(sizes, within, between, rng, draw=None):
    """A graph whose links are denser within groups, log-normal weights unless `draw` says otherwise, and the groups."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    n = group.size
    linked = rng.random((n, n)) < np.where(group[:, None] == group, within, between)
    drawn = np.exp(rng.normal(0.0, 0.5, (n, n))) if draw is None else draw((n, n))
    weight = np.triu(drawn * linked, 1)
    return weight + weight.T, group


@pytest.fixture(scope="module")
def graph():
    return planted((15, 12, 9), 0.8, 0.1, np.random.default_rng(3))


@pytest.fixture
def model():
    return nd.models.WeightedSBM(n_draws=30, rng=0)


def same_partition(a, b):
    return np.array_equal(a[:, None] == a, b[:, None] == b)


@pytest.mark.parametrize("as_input", [np.asarray, sparse.csr_array, sparse.coo_matrix], ids=["numpy", "csr", "coo"])
def test_planted_groups_come_back_from_every_kind_of_matrix(model, graph, as_input):
    weight, group = graph
    assert same_partition(model.fit(as_input(weight)).community_.values, group)


@pytest.mark.parametrize("family", ["lognormal", "additive", "exponential", "poisson"])
def test_every_family_finds_groups_in_graphs_of_its_own(model, family):
    rng = np.random.default_rng(5)
    draw = {
        "lognormal": None,
        "additive": lambda shape: rng.uniform(1.0, 2.0, shape),
        "exponential": lambda shape: rng.exponential(2.0, shape),
        "poisson": lambda shape: 1.0 + rng.poisson(2.0, shape),
    }[family]
    weight, group = planted((15, 12, 9), 0.8, 0.1, rng, draw)
    assert same_partition(model.set_params(family=family).fit(weight).community_.values, group)


def test_a_simulated_graph_is_scored_and_its_groups_are_found_again(model, graph):
    weight, group = graph
    model.fit(weight)
    drawn = model.simulate(rng=1)
    assert drawn.dims == ("unit", "unit_2")
    assert np.array_equal(drawn, drawn.T)
    assert abs(np.count_nonzero(drawn) / np.count_nonzero(weight) - 1.0) < 0.15
    shuffled = np.random.default_rng(0).permutation(len(weight))
    assert model.score(drawn) > model.score(drawn.values[np.ix_(shuffled, shuffled)]) + 0.1
    assert same_partition(clone(model).fit(drawn).community_.values, group)


def test_other_nodes_are_not_scored(model, graph):
    with pytest.raises(RecordingError, match="nodes of the fit"):
        model.fit(graph[0]).score(graph[0][:-1, :-1])


def test_labels_are_kept(model, graph):
    weight, _ = graph
    names = [f"cell {k}" for k in range(len(weight))]
    data = xr.DataArray(weight, dims=("roi", "roi_2"), coords={"roi": names, "roi_2": names})
    before = data.copy(deep=True)
    model.fit(data)
    assert data.identical(before)
    assert model.community_["roi"].values.tolist() == names
    assert model.community_prob_.dims == ("roi", "community")
    assert model.levels_.dims == ("level", "roi")


def test_results_are_consistent(model, graph):
    weight, _ = graph
    model.fit(weight)
    size = np.bincount(model.community_.values)
    assert (np.diff(size) <= 0).all()
    assert float(model.n_communities_.sum()) == pytest.approx(1.0)
    total = model.community_prob_.sum("community")
    assert ((total > 0.5) & (total <= 1.0 + 1e-12)).all()
    assert np.array_equal(model.levels_[0], model.community_)
    assert (model.levels_[-1] == 0).all()
    finer = model.levels_.values
    for k in range(len(finer) - 1):
        assert len(np.unique(np.stack([finer[k], finer[k + 1]]), axis=1).T) == len(np.unique(finer[k]))
    assert model.levels_["level_n_communities"].values.tolist() == list(range(len(size), 0, -1))
    assert float(model.levels_["level_weight"].sum()) == pytest.approx(1.0)


def test_nodes_without_links_are_reported_and_not_placed(model, graph):
    weight, group = graph
    wide = np.zeros((len(weight) + 2, len(weight) + 2))
    wide[1:-1, 1:-1] = weight
    model.fit(wide)
    assert model.n_isolated_ == 2
    assert model.community_.values[[0, -1]].tolist() == [-1, -1]
    assert np.isnan(model.community_prob_.values[[0, -1]]).all()
    assert same_partition(model.community_.values[1:-1], group)


def test_parts_that_are_not_connected_are_groups(model):
    one, _ = planted((12,), 0.7, 0.0, np.random.default_rng(0))
    both = np.kron(np.eye(2), one)
    assert same_partition(model.fit(both).community_.values, np.repeat([0, 1], 12))


def test_the_same_seed_gives_the_same_result_whatever_n_jobs(model, graph):
    weight, _ = graph
    one = model.fit(weight).to_dataset()
    two = clone(model).set_params(n_jobs=2).fit(weight).to_dataset()
    xr.testing.assert_equal(one, two)


def test_a_saved_model_comes_back(model, graph, tmp_path):
    model.fit(graph[0])
    again = nd.models.load(model.save(tmp_path / "model.nc"))
    assert again.get_params() == model.get_params()
    for name in model._results:
        xr.testing.assert_equal(getattr(again, name), getattr(model, name))
    assert again.description_length_ == model.description_length_


def test_nothing_is_there_before_fit(model):
    with pytest.raises(NotFittedError):
        _ = model.community_


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: -w, "negative"),
        (lambda w: np.where(np.arange(len(w))[:, None] == 3, np.nan, w), "NaN in the rows of 3"),
        (lambda w: np.where(w > 0, np.inf, w), "infinite"),
        (lambda w: np.triu(w), "symmetric"),
        (lambda w: w[:5], "square"),
        (lambda w: w * 0, "no weight above 0"),
        (lambda w: np.zeros((0, 0)), "no weight above 0"),
        (lambda w: w.tolist(), "DataArray"),
        (lambda w: xr.DataArray(w[None]), "as many rows as columns"),
        (lambda w: xr.DataArray(w, dims=("a", "a_2"), coords={"a": [0] * len(w)}), "different labels"),
    ],
)
def test_bad_graphs_are_refused(model, graph, spoil, words):
    with pytest.raises(RecordingError, match=words):
        model.fit(spoil(graph[0]))


def test_fractions_are_no_counts(model, graph):
    with pytest.raises(RecordingError, match="whole numbers"):
        model.set_params(family="poisson").fit(graph[0])


@pytest.mark.parametrize(
    "setting",
    [{"family": "gamma"}, {"n_runs": 0}, {"n_draws": 1.5}, {"community_rate": 1.0}, {"community_weight": 0.0}],
)
def test_settings_that_make_no_sense_are_refused(model, graph, setting):
    with pytest.raises(OptionError):
        model.set_params(**setting).fit(graph[0])
