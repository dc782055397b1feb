"""DynamicConnectome: planted motifs with planted communities are found, labels are kept, bad input is refused."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

import neurodata as nd
from neurodata.errors import NeurodataWarning, NotFittedError, OptionError, RecordingError
from neurodata.models.connectome.motif_graph import Course, graphs
from neurodata.models.connectome.sessions import read_sessions

RATE, STAGE_S = 5.0, 120.0
# Blocks that share a drive in each stage.
ACTIVE = ((0, 1), (2, 3), (0, 2))
FEW = {"n_restarts": 2, "communities": {"n_chains": 3}, "n_surrogates": 20, "rng": 0}


def animal(names: list[str], seed: int, drive_seed: int = 7, noise: float = 0.6) -> xr.DataArray:
    """Traces whose block is the number after the b of their name; in each stage two blocks follow a drive each."""
    n_times = int(len(ACTIVE) * STAGE_S * RATE)
    block = np.array([int(name[1]) for name in names])
    drive = smooth(np.random.default_rng(drive_seed), n_times, 4)
    stage = np.arange(n_times) * len(ACTIVE) // n_times
    on = np.array([[k in ACTIVE[s] for k in range(4)] for s in stage])
    values = (drive * on)[:, block] + noise * smooth(np.random.default_rng(seed), n_times, len(names))
    return traces(values, names)


def traces(values: np.ndarray, names: list[str]) -> xr.DataArray:
    data = nd.make_calcium(values, sampling_rate=RATE)["fluorescence"]
    return data.assign_coords(roi=names)


def smooth(rng: np.random.Generator, n_times: int, n: int) -> np.ndarray:
    values = gaussian_filter1d(rng.standard_normal((n_times, n)), 2.0, axis=0)
    return values / values.std(axis=0)


def units(start: int, stop: int) -> list[str]:
    return [f"b{k}n{i}" for k in range(4) for i in range(start, stop)]


STAGES = {f"stage {k}": [(k * STAGE_S, (k + 1) * STAGE_S)] for k in range(3)}


@pytest.fixture(scope="module")
def single() -> nd.models.DynamicConnectome:
    return nd.models.DynamicConnectome(3, **FEW).fit(animal(units(0, 8), 1), STAGES)


@pytest.fixture(scope="module")
def pair() -> nd.models.DynamicConnectome:
    """Two animals on one clock, seven units of each block, of which four are in both."""
    data = {"first": animal(units(0, 7), 1), "second": animal(units(3, 10), 2)}
    return nd.models.DynamicConnectome(3, **FEW).fit(data, STAGES)


def motif_of_stage(model) -> list[int]:
    return model.atlas_["relative_activity"].argmax("motif").values.tolist()


def assert_planted(model) -> None:
    """Each stage has a motif of its own, whose communities are the two blocks that are active then."""
    motifs = motif_of_stage(model)
    assert sorted(motifs) == [0, 1, 2]
    block = np.array([int(name[1]) for name in model.community_["roi"].values])
    for motif, active in zip(motifs, ACTIVE, strict=True):
        label = model.community_.values[motif]
        own = np.isin(block, active)
        assert adjusted_rand_score(block[own], label[own]) == 1.0
        # A link in ten may be chance; a unit with only such links is nothing's member for certain.
        assert (label[~own] == -1).mean() > 0.5


def test_planted_motifs_and_communities(single):
    assert_planted(single)
    block = np.array([int(name[1]) for name in single.overall_community_["roi"].values])
    assert adjusted_rand_score(block, single.overall_community_) == 1.0
    probability = single.community_prob_
    assert float(probability.max()) <= 1.0 + 1e-9
    motif = motif_of_stage(single)[0]
    linked = single.community_.values[motif] >= 0
    np.testing.assert_array_equal(
        probability.values[motif, linked].argmax(axis=1), single.community_.values[motif, linked]
    )


def test_planted_motifs_over_two_animals_with_partly_different_neurons(pair):
    assert_planted(pair)
    names = pair.pair_factor_["roi"].values.tolist()
    assert sorted(names) == sorted(units(0, 10))
    # The first animal's units first, in their order.
    assert names[:28] == units(0, 7)
    only_first, only_second = units(0, 3), units(7, 10)
    assert np.isnan(pair.pair_factor_.sel(roi=only_first, roi_2=only_second)).all()
    assert np.isfinite(pair.pair_factor_.sel(roi=units(3, 4), roi_2=only_second)).all()
    assert pair.observed_share_.sel(roi="b0n4") == 1.0
    assert float(pair.observed_share_.sel(roi="b0n0")) == pytest.approx(27 / 39)
    assert pair.session_factor_["session"].values.tolist() == ["first", "second"]
    # Both have all three motifs; unit length over two animals is 0.71 each.
    np.testing.assert_allclose(pair.session_factor_, 0.5**0.5, atol=0.1)


def test_pairs_do_not_depend_on_the_order_of_units_in_an_animal(pair):
    first, second = animal(units(0, 7), 1), animal(units(3, 10), 2)
    mixed = second.isel(roi=np.random.default_rng(3).permutation(28))
    other = nd.models.DynamicConnectome(3, **FEW).fit({"first": first, "second": mixed})
    named = {"roi": pair.pair_factor_["roi"].values, "roi_2": pair.pair_factor_["roi"].values}
    order = motif_of_stage(pair)
    courses = np.corrcoef(pair.time_factor_.values.T, other.time_factor_.values.T)[:3, 3:]
    match = courses.argmax(axis=1)
    assert sorted(match.tolist()) == [0, 1, 2]
    for motif in order:
        a = pair.pair_factor_.values[motif]
        b = other.pair_factor_.sel(named).values[match[motif]]
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_animals_with_clocks_of_their_own_follow_each_other():
    first = animal(units(0, 6), 1)
    second = animal(units(2, 8), 2, drive_seed=8).isel(time=slice(0, 1500))
    second = second.assign_coords(time=second["time"] + 1000.0)
    later = {name: [(a + 1000.0, z + 1000.0) for a, z in times] for name, times in STAGES.items()}
    model = nd.models.DynamicConnectome(3, **FEW).fit([first, second], [STAGES, later])
    assert model.time_factor_.sizes["time"] == 1800 + 1500
    np.testing.assert_array_equal(model.time_factor_["time_session"].values, np.repeat(["0", "1"], [1800, 1500]))
    np.testing.assert_array_equal(model.time_factor_["time"].values[1800:], second["time"].values)
    assert_planted(model)
    changes = model.boundaries(2)
    assert changes["change_session"].values.tolist() == ["0", "0", "1", "1"]
    np.testing.assert_allclose(changes.values, [120.0, 240.0, 1120.0, 1240.0], atol=4.0)


def test_stages_stand_out_in_the_atlas_and_boundaries_are_found(single):
    atlas = single.atlas_
    assert atlas.dims == ("stage", "motif", "community")
    motifs = motif_of_stage(single)
    for stage, motif in enumerate(motifs):
        here = atlas.isel(stage=stage)
        assert float(here["relative_activity"][motif]) > 2.0
        # Of 1800 turns, those by a few samples fit as well as none: smoothing over 2 s reaches 10 samples either way.
        assert float(here["p_value"][motif]) < 0.02
        assert bool(here["significant"][motif])
        assert float(here.isel(motif=motif).max()) > 3 * float(here.isel(motif=motifs[stage - 1]).max())
    np.testing.assert_allclose(single.boundaries(2), [120.0, 240.0], atol=2.0)
    chosen = single.boundaries().values
    assert np.abs(chosen - 120.0).min() < 2.0
    assert np.abs(chosen - 240.0).min() < 2.0


def test_a_label_per_sample_and_a_table_are_the_same_stages(single):
    time = single.time_factor_["time"].values
    label = xr.DataArray(np.array([f"stage {int(t // STAGE_S)}" for t in time]), dims="time", coords={"time": time})
    table = xr.Dataset(
        {"start": ("trial", [0.0, 120.0, 240.0]), "stop": ("trial", [120.0, 240.0, 360.0]),
         "condition": ("trial", list(STAGES))}
    )  # fmt: skip
    model = pickle.loads(pickle.dumps(single))
    expected = single.atlas_.copy()
    for stages in (label, table):
        xr.testing.assert_allclose(model.atlas(stages), expected)


def test_a_signal_that_follows_a_motif_is_found(single):
    course = single.time_factor_.isel(motif=1)
    noise = smooth(np.random.default_rng(5), course.size, 1)[:, 0]
    values = np.stack([course.values / course.values.std() + 0.3 * noise, noise], axis=1)
    signals = xr.DataArray(
        values, dims=("time", "signal"), coords={"time": course["time"].values, "signal": ["speed", "noise"]}
    )
    found = pickle.loads(pickle.dumps(single)).atlas(signals)
    assert found["stage"].values.tolist() == ["speed", "noise"]
    assert float(found["p_value"].sel(stage="speed", motif=1)) < 0.01
    assert float(found["p_value"].sel(stage="noise").min()) > 0.01


def test_links_of_a_course_that_was_not_fitted_are_calibrated():
    """Independent traces and a course of its own: p values of pairs are uniform, and there are no links."""
    data = traces(smooth(np.random.default_rng(0), 1500, 20), [f"n{k}" for k in range(20)])
    sessions = read_sessions(data, {"scale": "rms", "smoothing": 2.0}, None, None)
    course = np.abs(smooth(np.random.default_rng(1), 1500, 2))
    found = graphs(sessions, [Course(course)], 40, 0.1, np.random.default_rng(2))
    upper = np.triu_indices(20, 1)
    p = found.p_value[:, upper[0], upper[1]]
    np.testing.assert_allclose(np.quantile(p, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.07)
    assert not (found.weight > 0).any()


def test_without_coupling_there_are_few_links():
    """Courses come from the same affinities, which then follow them: a little more than chance is expected."""
    data = traces(smooth(np.random.default_rng(0), 1500, 20), [f"n{k}" for k in range(20)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NeurodataWarning)
        model = nd.models.DynamicConnectome(2, **FEW).fit(data)
    assert float((model.graph_ > 0).mean()) < 0.05


def test_one_weight_per_unit():
    model = nd.models.DynamicConnectome(3, pair_rank=1, **FEW).fit(animal(units(0, 8), 1), STAGES)
    unit = model.unit_factor_.values
    size = np.sqrt((np.triu(np.einsum("ir,jr->rij", unit, unit), 1) ** 2).sum((1, 2)))
    np.testing.assert_allclose(model.pair_factor_.values[0, 0, 1], unit[0, 0] * unit[1, 0] / size[0])
    assert sorted(motif_of_stage(model)) == [0, 1, 2]
    assert np.isfinite(model.score(animal(units(0, 8), 1)))


def test_the_number_of_motifs_is_chosen_where_it_is_not_given():
    model = nd.models.DynamicConnectome(max_motifs=3, **FEW).fit(animal(units(0, 5), 1))
    assert model.n_motifs_ == 3
    assert model.selection_score_["n_components"].values.tolist() == [1, 2, 3]
    assert (model.selection_score_.diff("n_components") > 0).all()


def test_the_same_rng_gives_the_same_result_and_a_second_fit_forgets(single):
    again = clone(single).fit(animal(units(0, 8), 1), STAGES)
    for name in ("time_factor_", "graph_", "community_", "community_prob_", "atlas_"):
        xr.testing.assert_identical(getattr(again, name), getattr(single, name))
    again.fit(animal(units(0, 5), 1))
    with pytest.raises(NotFittedError, match="atlas"):
        _ = again.atlas_
    with pytest.raises(NotFittedError):
        _ = clone(single).community_


def test_results_survive_a_file_and_a_pickle(pair, tmp_path):
    loaded = nd.models.load(pair.save(tmp_path / "model.nc"))
    assert loaded.get_params() == pair.get_params()
    data = {"first": animal(units(0, 7), 3), "second": animal(units(3, 10), 4)}
    for other in (loaded, pickle.loads(pickle.dumps(pair))):
        for name in pair._results:
            if name in vars(pair):
                xr.testing.assert_identical(getattr(other, name), getattr(pair, name))
        assert other.score(data) == pair.score(data)
        assert repr(other) == repr(pair)
    # Two thirds and more of the affinities of new noise on the same drives are predicted.
    assert pair.score(data) > 0.6
    assert pair.simulate(rng=0).sizes["time"] == 1800
    assert "motif" in pair._repr_html_()


def test_processes_do_not_change_the_result(single):
    other = clone(single).set_params(n_jobs=2).fit(animal(units(0, 8), 1))
    xr.testing.assert_identical(other.community_, single.community_)


def test_input_stays_as_it_is():
    data = animal(units(0, 4), 1)
    before = data.copy(deep=True)
    nd.models.DynamicConnectome(1, **FEW).fit(data)
    xr.testing.assert_identical(data, before)


def test_gaps_and_missing_stretches_are_not_bridged():
    data = animal(units(0, 6), 1).copy()
    data[300:360] = np.nan
    data[600:700, 3] = np.nan
    model = nd.models.DynamicConnectome(3, **FEW).fit(data, STAGES)
    assert np.isnan(model.time_factor_.values[305:355]).all()
    assert np.isfinite(model.time_factor_.values[370:]).all()
    assert_planted(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.where(x["roi"] != "b1n1"), "nothing but NaN.*b1n1"),
        (lambda x: x.where(x["roi"] != "b1n1", 3.0), "constant.*b1n1"),
        (lambda x: x.assign_coords(roi=["same"] * x.sizes["roi"]), "same"),
        (lambda x: x.isel(roi=[0]), "two traces"),
        (lambda x: x.isel(time=slice(0, 3)), "in a row|samples"),
        (lambda x: x.where(x["roi"] != "b1n1", np.inf), "infinite"),
        (lambda x: x.rename(roi="cell"), "dims"),
        (lambda x: x.values, "DataArray"),
        (lambda x: [], "none"),
    ],
)
def test_bad_traces_are_refused(change, words):
    with pytest.raises(RecordingError, match=words):
        nd.models.DynamicConnectome(1, **FEW).fit(change(animal(units(0, 3), 1)))


def test_a_bad_animal_is_named():
    good, bad = animal(units(0, 3), 1), animal(units(0, 3), 2)
    with pytest.raises(RecordingError, match=r"of 'second'.*nothing but NaN"):
        nd.models.DynamicConnectome(1, **FEW).fit({"first": good, "second": bad.where(bad["roi"] != "b1n1")})


def test_numbers_in_several_animals_are_not_taken_for_identities_silently():
    numbered = [animal(units(0, 3), k).assign_coords(roi=np.arange(12)) for k in range(2)]
    with pytest.warns(NeurodataWarning, match="12 numbers"):
        model = nd.models.DynamicConnectome(1, **FEW).fit(numbered)
    assert model.pair_factor_.sizes["roi"] == 12
    own = nd.models.DynamicConnectome(1, identities="label", **FEW).fit(numbered)
    assert own.pair_factor_.sizes["roi"] == 12


def test_animals_can_keep_their_units_apart():
    with pytest.warns(NeurodataWarning, match="no pair|without"):
        model = nd.models.DynamicConnectome(1, identities="own", **{**FEW, "link_level": 1e-6}).fit(
            [animal(units(0, 3), k).assign_coords(roi=np.arange(12)) for k in range(2)]
        )
    assert model.pair_factor_["roi"].values[[0, 12]].tolist() == ["0:0", "1:0"]


@pytest.mark.parametrize(
    "settings",
    [
        {"n_motifs": 0},
        {"n_motifs": 2.5},
        {"pair_rank": 2},
        {"level": 1.5},
        {"n_surrogates": 2},
        {"identities": "name"},
        {"communities": {"chains": 3}},
        {"affinity": {"kernel": "gauss"}},
        {"affinity": {"sign": "up"}},
        {"n_motifs": 10**6},
        {"sparsity": -1.0},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(OptionError):
        nd.models.DynamicConnectome(**{"n_motifs": 1, **FEW, **settings}).fit(animal(units(0, 3), 1))


@pytest.mark.parametrize(
    "stages",
    [
        {"late": [(1e6, 2e6)]},
        {"always": [(-1.0, 1e6)]},
        xr.DataArray([1.0, 2.0], dims="place"),
        "odour",
        xr.Dataset({"start": ("trial", [0.0])}),
    ],
)
def test_stages_that_say_nothing_are_refused(single, stages):
    with pytest.raises(RecordingError):
        pickle.loads(pickle.dumps(single)).atlas(stages)


def test_an_interval_that_ends_before_it_begins_is_refused(single):
    with pytest.raises(OptionError, match="end after"):
        single.atlas({"odour": [(2.0, 1.0)]})
