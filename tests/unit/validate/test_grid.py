"""The grid of models and circuits: what is in it, what stays on disk, what fails, what models get to see."""

from __future__ import annotations

import gc
import json
import types

import numpy as np
import pytest
import xarray as xr
from sklearn.base import BaseEstimator

import neurodata as nd
from neurodata.errors import NeurodataWarning, OptionError
from neurodata.simulate import run, zoo
from neurodata.validate import _cache, _cells
from neurodata.validate.grid import BASELINES, grid
from neurodata.validate.metrics import Metric
from neurodata.validate.prepare import Prepare

COUNTS = Prepare(0.02)
SETTINGS = {"duration": 6.0, "metrics": ["ap", "auroc"], "seeds": 2}


def circuits(n: int = 8) -> dict:
    return {"static": zoo.static(n=n, p=0.3, rng=0), "null": zoo.null(n=n, rng=0)}


class Claimer(BaseEstimator):
    """Claims the edges that a fixed seed draws; says what it was given through class attributes."""

    seen: list = []  # noqa: RUF012

    def __init__(self, rng=None, n_jobs=4, progress=True, fail=""):
        self.rng, self.n_jobs, self.progress, self.fail = rng, n_jobs, progress, fail

    def fit(self, data):
        Claimer.seen.append({"rng": self.rng, "n_jobs": self.n_jobs, "progress": self.progress, "data": data})
        if self.fail == "interrupt":
            raise KeyboardInterrupt
        if self.fail:
            raise ZeroDivisionError(self.fail)
        unit = data["unit"].values
        score = np.random.default_rng(self.rng).random((len(unit), len(unit)))
        self.edge_score_ = xr.DataArray(score, dims=("post", "pre"), coords={"post": unit, "pre": unit})
        return self

    def score(self, data):
        Claimer.seen.append({"scored": data})
        return float(data["time"].values[0])


@pytest.fixture(autouse=True)
def _forget():
    Claimer.seen = []


def same(a: xr.Dataset, b: xr.Dataset) -> None:
    xr.testing.assert_identical(a.drop_vars("runtime"), b.drop_vars("runtime"))


def test_the_table_has_every_cell_and_the_baselines():
    result = grid({"claimer": (Claimer(), COUNTS)}, circuits(), **SETTINGS)
    assert result.score.dims == ("model", "circuit", "observation", "seed", "metric")
    assert result.score.shape == (5, 2, 1, 2, 2)
    assert result.model.values.tolist() == ["claimer", "rate_only", "xcorr", "lagged_regression", "shuffle"]
    assert result.is_baseline.values.tolist() == [False, True, True, True, True]
    assert (result.status.sel(circuit="static") == "ok").all()
    assert np.isfinite(result.score.sel(circuit="static")).all()
    # A circuit without edges has nothing to rank.
    assert (result.status.sel(circuit="null") == "not applicable").all()
    assert result.score.sel(circuit="null").isnull().all()
    assert (result.error == "").all()
    assert (result.runtime > 0).all()


def test_scores_and_chance_are_those_of_the_truth():
    """Computed here by hand from the same run: random scores, so AUROC is near 0.5 and anything but a constant."""
    circuit = circuits()["static"]
    result = grid({"claimer": (Claimer(rng=3), COUNTS)}, {"static": circuit}, **SETTINGS)
    exists = circuit.network().weight_matrix() != 0
    off = ~np.eye(8, dtype=bool)
    score = np.random.default_rng(3).random((8, 8))
    above = score[exists & off][:, None] > score[~exists & off][None, :]
    assert result.score.sel(model="claimer", metric="auroc").values.ravel() == pytest.approx(above.mean())
    assert result.chance.sel(metric="ap").values.ravel() == pytest.approx(exists[off].mean())
    curve = result.true_positive_rate.sel(model="claimer").isel(circuit=0, observation=0, seed=0)
    fpr = (score[~exists & off][:, None] >= np.sort(score[exists & off])).mean(axis=0)  # at each true edge's score
    tpr = (score[exists & off][:, None] >= np.sort(score[exists & off])).mean(axis=0)
    for x, y in zip(fpr, tpr, strict=True):
        assert curve.interp(false_positive_rate=x, method="linear").item() >= y - 0.35
    assert curve.values[0] >= 0
    assert curve.values[-1] == 1
    assert (np.diff(curve.values) >= 0).all()


def test_two_workers_give_what_one_gives(tmp_path):
    one = grid({}, circuits(), **SETTINGS)
    same(grid({}, circuits(), **SETTINGS, n_jobs=2, store=tmp_path), one)
    same(grid({}, circuits(), **SETTINGS, store=tmp_path), one)


def test_adding_to_a_grid_changes_nothing_in_it():
    models = {"claimer": (Claimer(), COUNTS)}
    small = grid(models, {"static": circuits()["static"]}, duration=6.0, metrics=["auroc"], seeds=[1])
    large = grid(
        {"other": (Claimer(rng=5), COUNTS), **models},
        {"new": zoo.static(n=8, p=0.3, rng=9), **circuits()},
        duration=6.0,
        seeds=[0, 1],
    )
    part = large.sel(model=small.model, circuit=["static"], seed=[1], metric=["auroc"])
    for name in ("score", "status", "chance", "true_positive_rate"):
        np.testing.assert_array_equal(small[name].values, part[name].values)


def test_cells_differ_in_their_random_numbers_and_only_there_unasked():
    grid({"claimer": (Claimer(), COUNTS), "fixed": (Claimer(rng=7), COUNTS)}, circuits(), **SETTINGS)
    given = [seen["rng"] for seen in Claimer.seen]
    assert sorted(given)[:4] == [7, 7, 7, 7]
    assert len(set(given)) == 5
    assert all(seen["n_jobs"] == 1 and seen["progress"] is False for seen in Claimer.seen)


def test_runs_of_a_circuit_differ_and_can_be_drawn_anew():
    circuit = {"static": circuits()["static"]}
    for redraw in (False, True):
        Claimer.seen = []
        result = grid({"c": (Claimer(rng=0), COUNTS)}, circuit, **SETTINGS, redraw=redraw)
        first, second = (seen["data"].values for seen in Claimer.seen)
        assert (first != second).any()
        scores = result.score.sel(model="c", metric="auroc").values.ravel()
        # The same claims against one graph, or against two.
        assert (scores[0] == scores[1]) != redraw


def test_finished_cells_are_taken_from_the_store(tmp_path):
    models = {"claimer": (Claimer(), COUNTS)}
    first = grid(models, circuits(), **SETTINGS, store=tmp_path)
    n_fits = len(Claimer.seen)
    assert n_fits == 4
    xr.testing.assert_identical(grid(models, circuits(), **SETTINGS, store=tmp_path), first)
    renamed = {"other name": circuits()["static"]}
    again = grid(models, renamed, **{**SETTINGS, "metrics": ["mcc_at_count"]}, store=tmp_path)
    assert len(Claimer.seen) == n_fits
    assert (again.status.sel(model="claimer") == "ok").all()
    grid(models, circuits(), **{**SETTINGS, "seeds": 3}, store=tmp_path)
    assert len(Claimer.seen) == n_fits + 2


@pytest.mark.parametrize(
    "change",
    [
        {"duration": 7.0},
        {"rng": 1},
        {"redraw": True},
        {"models": {"claimer": (Claimer(rng=1), COUNTS)}},
        {"models": {"claimer": (Claimer(), Prepare(0.03))}},
        {"circuits": {"static": zoo.static(n=8, p=0.3, rng=1)}},
        {"seeds": [5]},
        {"metrics": [Metric("own", ("edge_score",), lambda claims, truth: 1.0)]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_cell_with_another_setting_is_another_cell(tmp_path, change):
    settings = {
        "models": {"claimer": (Claimer(), COUNTS)},
        "circuits": {"static": circuits()["static"]},
        "duration": 6.0,
        "seeds": 1,
        "metrics": ["auroc"],
        "store": tmp_path,
    }
    grid(**settings)
    before = len(Claimer.seen)
    grid(**settings)
    assert len(Claimer.seen) == before
    grid(**{**settings, **change})
    assert len(Claimer.seen) == before + 1


def test_other_code_makes_other_cells(tmp_path, monkeypatch):
    settings = {**SETTINGS, "seeds": 1, "store": tmp_path}
    grid({"c": (Claimer(), COUNTS)}, circuits(), **settings)
    monkeypatch.setitem(grid.__globals__, "code_version", lambda: "0.0+other")
    grid({"c": (Claimer(), COUNTS)}, circuits(), **settings)
    assert len(Claimer.seen) == 4


def test_a_model_that_fails_is_a_row_with_its_error(tmp_path):
    models = {"broken": (Claimer(fail="no such luck"), COUNTS), "claimer": (Claimer(), COUNTS)}
    result = grid(models, circuits(), **SETTINGS, store=tmp_path)
    assert (result.status.sel(model="broken") == "failed").all()
    assert result.score.sel(model="broken").isnull().all()
    assert set(result.error.sel(model="broken").values.ravel()) == {"fit: ZeroDivisionError: no such luck"}
    assert (result.error.sel(model="claimer") == "").all()
    before = len(Claimer.seen)
    same(grid(models, circuits(), **SETTINGS, store=tmp_path), result)
    assert len(Claimer.seen) == before
    grid(models, circuits(), **SETTINGS, store=tmp_path, retry_failed=True)
    assert len(Claimer.seen) == before + 4


def test_a_network_that_explodes_is_a_failure_of_its_cells_only():
    wild = circuits()["static"]
    loud = wild.replace(populations=tuple(_with_bias(p, 1e4) for p in wild.populations), name="loud")
    result = grid({}, {"loud": loud, "static": wild}, **SETTINGS)
    assert (result.status.sel(circuit="loud") == "failed").all()
    assert all(text.startswith("simulate: SimulationError") for text in result.error.sel(circuit="loud").values.ravel())
    assert (result.status.sel(circuit="static") == "ok").all()


def _with_bias(population, bias):
    import dataclasses

    return dataclasses.replace(population, bias=bias)


def test_a_metric_that_fails_takes_nothing_from_the_others():
    def broken(claims, truth):
        raise KeyError("nothing here")

    result = grid({}, circuits(), **{**SETTINGS, "metrics": ["auroc", Metric("broken", ("edge_score",), broken)]})
    one = result.sel(circuit="static", model="xcorr")
    assert (one.status.sel(metric="broken") == "failed").all()
    assert (one.status.sel(metric="auroc") == "ok").all()
    assert all("metric broken: KeyError: 'nothing here'" in text for text in one.error.values.ravel())


def test_warnings_of_a_cell_are_kept_with_it():
    class Warner(Claimer):
        def fit(self, data):
            import warnings

            warnings.warn("not settled", NeurodataWarning, stacklevel=2)
            return super().fit(data)

    result = grid({"warner": (Warner(), COUNTS)}, circuits(), **SETTINGS)
    assert set(result.warning.sel(model="warner").values.ravel()) == {"NeurodataWarning: not settled"}
    assert (result.status.sel(model="warner", circuit="static") == "ok").all()


def _flip_every_hundredth(path):
    """Some of it in the numbers, whatever the layout of the file."""
    data = bytearray(path.read_bytes())
    data[512::100] = bytes(255 - byte for byte in data[512::100])
    path.write_bytes(data)


DAMAGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-400]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": _flip_every_hundredth,
    "of another key": lambda path: path.write_bytes(sorted(path.parent.glob("*.nc"))[-1].read_bytes()),
}


# h5netcdf closes in __del__ what it could not open, and fails at that.
FAILED_CLOSE = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@FAILED_CLOSE
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cell_is_run_again_with_a_warning(tmp_path, damage):
    models = {"claimer": (Claimer(), COUNTS)}
    first = grid(models, circuits(), **SETTINGS, store=tmp_path)
    DAMAGES[damage](sorted(tmp_path.glob("*.nc"))[0])
    with pytest.warns(NeurodataWarning, match="is run again, its file .* is damaged"):
        again = grid(models, circuits(), **SETTINGS, store=tmp_path)
    same(again, first)
    same(grid(models, circuits(), **SETTINGS, store=tmp_path), first)


@FAILED_CLOSE
def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    """Numbers and text of a cell are summed in the file; what is read back is right, or refused."""
    names = ["ap", "auroc"]
    outcome = _cells.Outcome(
        (0,),
        "k",
        score=dict.fromkeys(names, 0.7),
        chance=dict.fromkeys(names, 0.5),
        status=dict.fromkeys(names, "ok"),
        curve={"precision": np.linspace(0, 1, 51)},
        error="",
        warning="",
        runtime=1.25,
    )
    path = _cache.write(tmp_path, outcome)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.choice(len(whole), 150, replace=False):
        bad = bytearray(whole)
        bad[place] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        try:
            back = _cache.read(tmp_path, "k", (0,))
        except nd.errors.FormatError:
            refused += 1
            continue
        assert back.score == outcome.score
        assert back.runtime == outcome.runtime
        np.testing.assert_array_equal(back.curve["precision"], outcome.curve["precision"])
    assert refused > 0


def test_what_a_kill_left_half_written_is_removed_when_old(tmp_path):
    import os

    old, new = tmp_path / ".a.nc.1.partial.nc", tmp_path / ".b.nc.1.partial.nc"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    grid({}, {"null": circuits()["null"]}, duration=2.0, seeds=1, metrics=["auroc"], store=tmp_path)
    assert not old.exists()
    assert new.exists()


def test_an_interrupt_stops_and_keeps_what_is_finished(tmp_path):
    models = {"claimer": (Claimer(), COUNTS), "interrupted": (Claimer(fail="interrupt"), COUNTS)}
    with pytest.raises(KeyboardInterrupt):
        grid(models, circuits(), **SETTINGS, store=tmp_path)
    assert len(list(tmp_path.glob("*.nc"))) == 1
    Claimer.seen = []
    result = grid({"claimer": models["claimer"]}, circuits(), **SETTINGS, store=tmp_path)
    assert len(Claimer.seen) == 3
    same(result, grid({"claimer": models["claimer"]}, circuits(), **SETTINGS))


def _reachable(thing):
    """Everything that can be got at from an object: attributes, items, arrays and what they are views of."""
    stack, seen = [thing], {}
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)):
            continue
        seen[id(one)] = one
        if isinstance(one, np.ndarray) and one.base is not None:
            stack.append(one.base)
        stack += gc.get_referents(one)
    return list(seen.values())


class Spy(BaseEstimator):
    """Looks into all it is given."""

    found: list = []  # noqa: RUF012

    def fit(self, data):
        Spy.found.append(_reachable(data))
        raise RuntimeError("seen enough")


def _leaks(found, truth: xr.Dataset) -> set[str]:
    """Names of the truths among the things found."""
    leaks = set()
    wanted = {
        str(name): values.values
        for name, values in truth.variables.items()
        if values.ndim and name not in ("neuron", "unit", "post", "pre", "time", "source", "snapshot")
    }
    for one in found:
        if isinstance(one, np.ndarray):
            same_shape = {name for name, values in wanted.items() if values.shape == one.shape}
            leaks |= {name for name in same_shape if _equal(wanted[name], one)}
        if isinstance(one, str):
            leaks |= {name for name in ("circuit_hash", "circuit") if truth.attrs[name] in one}
            leaks |= {one} & {"truth", "circuit_hash", "unit_neuron", "latent_loading"}
    return leaks


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    numeric = a.dtype.kind in "fiu" and b.dtype.kind in "fiub"
    return np.array_equal(a, b, equal_nan=numeric)


def _recording(circuit, duration: float, seed: int) -> xr.DataTree:
    """The run that the grid makes."""
    return run(circuit, duration, rng=_cells._stream(0, int(circuit.content_hash[:16], 16), seed))


def test_the_spy_finds_the_truth_where_it_is():
    """The test below can fail."""
    rec = _recording(circuits()["static"], 2.0, 0)
    leaks = _leaks(_reachable(rec), rec["truth"].to_dataset())
    assert {"weight", "exists", "delay", "circuit", "circuit_hash", "truth", "sign"} <= leaks


VIEWS = {
    "full": [],
    "sorted": [nd.simulate.Subsample(n=6), nd.simulate.Sorting()],
    "imaged": [nd.simulate.Calcium()],
    "field": [nd.simulate.LFP()],
}


@pytest.mark.parametrize("kind", ["static", "switching_drive"])
def test_models_never_see_the_truth(kind):
    circuit = getattr(zoo, kind)(n=10, p=0.3, rng=0)
    Spy.found = []
    models = {"spy": (Spy(), lambda rec: rec)}
    result = grid(models, {kind: circuit}, VIEWS, seeds=1, duration=6.0, metrics=["auroc"])
    assert set(result.error.sel(model="spy").values.ravel()) == {"fit: RuntimeError: seen enough"}
    assert len(Spy.found) == len(VIEWS)
    truth = _recording(circuit, 6.0, 0)["truth"].to_dataset()
    for found in Spy.found:
        assert any(isinstance(one, xr.DataTree) for one in found)
        assert _leaks(found, truth) == set()


def test_the_same_spikes_underlie_all_that_is_seen_of_a_run():
    circuit = circuits()["static"]
    views = {"full": [], "part": [nd.simulate.Subsample(n=5)]}
    grid({"c": (Claimer(), COUNTS)}, {"static": circuit}, views, **SETTINGS)
    for seed in (0, 1):
        expected = nd.bin_spikes(_recording(circuit, 6.0, seed), 0.02)
        full, part = (seen["data"] for seen in Claimer.seen[2 * seed : 2 * seed + 2])
        np.testing.assert_array_equal(full.values, expected.values)
        assert part.sizes["unit"] == 5
        np.testing.assert_array_equal(part.values, expected.sel(unit=part.unit).values)


def test_the_predictive_score_is_of_data_that_were_held_out():
    bits = Metric("bits", ("bits_per_spike",), lambda claims, truth: claims["bits_per_spike"])
    result = grid({"c": (Claimer(), COUNTS)}, {"null": circuits()["null"]}, metrics=[bits], seeds=1, duration=10.0)
    whole, train, scored = Claimer.seen[0]["data"], Claimer.seen[1]["data"], Claimer.seen[2]["scored"]
    assert whole.sizes["time"] == 500
    assert scored.sizes["time"] == 100
    assert float(scored.time[0]) == pytest.approx(8.01)
    assert 6.9 < float(train.time[-1]) < 7.01
    assert float(train.time[0]) == pytest.approx(0.01)
    assert result.score.sel(model="c").item() == pytest.approx(8.01)
    assert Claimer.seen[0]["rng"] == Claimer.seen[1]["rng"]


def test_a_held_out_part_that_fails_takes_nothing_from_the_other_scores():
    class Short(Claimer):
        def score(self, data):
            raise ValueError("too short")

    bits = Metric("bits", ("bits_per_spike",), lambda claims, truth: claims["bits_per_spike"])
    result = grid(
        {"c": (Short(), COUNTS)}, {"static": circuits()["static"]}, metrics=["ap", bits], seeds=1, duration=10.0
    )
    one = result.sel(model="c").squeeze()
    assert one.status.values.tolist() == ["ok", "failed"]
    assert one.error.item() == "held-out part: ValueError: too short"


def test_a_preparation_that_fails_says_so():
    def no(rec):
        raise ValueError("no trials")

    result = grid({"c": (Claimer(), no)}, circuits(), **SETTINGS)
    assert set(result.error.sel(model="c").values.ravel()) == {"prepare: ValueError: no trials"}


def test_without_a_predictive_metric_there_is_one_fit():
    grid({"c": (Claimer(), COUNTS)}, {"null": circuits()["null"]}, metrics=["auroc"], seeds=1, duration=6.0)
    assert len(Claimer.seen) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (xr.DataArray(np.zeros((3, 2)), dims=("x", "y")), None),
        (xr.DataArray(np.zeros((3, 2)), dims=("time", "y"), coords={"time": [0.0, 1.0, 2.0]}), None),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], ([1, 2, 3, 4, 5, 6, 7, 8], [9, 10])),
        ([1, 2], ([1], [2])),
        ("text", None),
    ],
)
def test_data_that_cannot_be_held_out_give_no_predictive_score(data, expected):
    assert _cells.split_held_out(data) == expected


def test_trials_are_held_out_whole_and_modalities_together():
    trials = xr.DataArray(np.arange(20.0).reshape(10, 2), dims=("trial", "time"), coords={"time": [0.0, 0.1]})
    train, test = _cells.split_held_out({"a": trials, "b": 2 * trials})
    assert test["a"].values[:, 0].tolist() == [16.0, 18.0]
    assert test["b"].values[:, 0].tolist() == [32.0, 36.0]
    assert train["a"].values[:, 0].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]


def test_a_worker_has_one_thread():
    from threadpoolctl import threadpool_info

    class Threads(Claimer):
        def fit(self, data):
            import numba

            self.threads = {pool["num_threads"] for pool in threadpool_info()} | {numba.get_num_threads()}
            assert self.threads == {1}
            return super().fit(data)

    result = grid({"c": (Threads(), COUNTS)}, {"null": circuits()["null"]}, seeds=1, duration=3.0, metrics=["auroc"])
    assert (result.error == "").all()


def test_several_lengths_are_a_dim():
    result = grid({}, {"static": circuits()["static"]}, metrics=["auroc"], seeds=1, duration=[2.0, 4.0])
    assert result.score.dims == ("duration", "model", "circuit", "observation", "seed", "metric")
    assert result.duration.values.tolist() == [2.0, 4.0]


def test_the_result_says_what_was_run_and_can_be_saved(tmp_path):
    result = grid({"c": (Claimer(rng=2), COUNTS)}, circuits(), **SETTINGS)
    models = json.loads(result.attrs["models"])
    assert models["c"]["model"]["settings"] == {"rng": 2, "fail": ""}
    assert models["c"]["prepare"]["fields"] == COUNTS.to_dict()
    assert set(models) == {"c", *BASELINES}
    text = json.dumps(json.loads(result.attrs["circuits"])["static"])
    assert nd.simulate.Circuit.from_json(text).content_hash == circuits()["static"].content_hash
    nd.containers.store.write_tree(xr.DataTree(result), tmp_path / "result.nc")
    back = nd.containers.store.read_tree(tmp_path / "result.nc", lazy=False).to_dataset()
    xr.testing.assert_equal(back, result)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": {"xcorr": Claimer()}}, "model 'xcorr' has the name of a baseline"),
        ({"models": {"c": Claimer}}, "model 'c' has no fit"),
        ({"models": {"c": "text"}}, "model 'c' has no fit"),
        ({"circuits": {}}, "no circuits"),
        ({"circuits": {"a": 3}}, "circuit 'a' is a int"),
        ({"observations": {"full": ["subsample"]}}, "stage 'subsample' of observation 'full'"),
        ({"metrics": ["apple"]}, "metric 'apple', not one of ap"),
        ({"metrics": []}, "none, or one twice"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": [1, 1]}, "one twice"),
        ({"seeds": [-1]}, "seed -1"),
        ({"duration": -1.0}, "duration -1 s"),
        ({"duration": float("nan")}, "duration nan s"),
        ({"rng": None}, "rng None"),
        ({"rng": 1.5}, "rng 1.5"),
    ],
)
def test_bad_settings_are_named(change, said):
    settings = {"models": {}, "circuits": circuits(), **SETTINGS, **change}
    with pytest.raises(OptionError, match=said):
        grid(**settings)


def test_all_bad_settings_are_named_at_once():
    with pytest.raises(OptionError) as error:
        grid({"xcorr": Claimer()}, {}, duration=-1.0, seeds=[], metrics=["apple"])
    assert all(text in str(error.value) for text in ("xcorr", "no circuits", "duration -1", "seeds", "apple"))


def test_a_model_without_a_default_preparation_says_how_to_pass_one():
    with pytest.raises(OptionError, match=r"\(estimator, prepare\)"):
        grid({"c": Claimer()}, circuits(), **SETTINGS)
