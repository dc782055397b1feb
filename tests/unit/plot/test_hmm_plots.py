"""Pictures of a fitted HMM-GLM show its numbers, with labels and units."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    state = (np.arange(600) // 100) % 2
    rate = np.where(state[:, None] == 0, [0.2, 0.9, 0.5, 0.1], [0.9, 0.2, 0.1, 0.8])
    return nd.containers.make_counts(rng.poisson(rate), bin_width=0.02, unit=["a", "b", "c", "d"])


@pytest.fixture(scope="module")
def model(counts):
    return nd.models.HMMGLM(prior=None, n_states=2, n_basis=2, history=0.08, n_restarts=1, rng=0).fit(counts)


def _draw(ax) -> bytes:
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def _bar_label(figure):
    return next(ax.get_ylabel() for ax in figure.axes if ax.get_label() == "<colorbar>")


def test_couplings_are_on_one_symmetric_scale(model):
    panels = nd.plot.connectivity(model, sort=[3, 2, 1, 0])
    assert [ax.get_title() for ax in panels] == ["state 0", "state 1"]
    off = ~np.eye(4, dtype=bool)
    for k, ax in enumerate(panels):
        (image,) = ax.images
        drawn = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(drawn[off], model.weight_.values[k][::-1, ::-1][off])
        assert np.isnan(np.diag(drawn)).all()
        low, high = image.get_clim()
        assert low == -high
        assert image.get_clim() == panels[0].images[0].get_clim()
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["d", "c", "b", "a"]
    assert _bar_label(panels[0].figure) == "coupling (linear predictor per spike)"
    assert _draw(panels[0])


def test_types_stand_beside_the_prior_that_states_share(counts):
    typed = nd.models.HMMGLM(n_states=2, n_basis=1, history=0.04, n_restarts=1, prior="onehot", rng=0).fit(counts)
    panels = nd.plot.connectivity(typed, sign=[-1, 1, 0, 1])
    assert [ax.get_title() for ax in panels] == ["state 0", "state 1", "shared prior"]
    order = [1, 3, 2, 0]  # excitatory, unknown, inhibitory
    shared = typed.connection_prior_.values[..., 2] - typed.connection_prior_.values[..., 0]
    drawn = np.ma.filled(panels[2].images[0].get_array(), np.nan)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(drawn[off], shared[np.ix_(order, order)][off])
    assert panels[2].images[0].get_clim() == (-1.0, 1.0)
    assert [line.get_ydata()[0] for line in panels[0].lines[::2]] == [1.5, 2.5]
    assert _bar_label(panels[0].figure) == "P(excitatory) - P(inhibitory)"
    weights = nd.plot.connectivity(typed, what="weight")
    assert len(weights) == 2


def test_couplings_refuse_what_they_cannot_show(model):
    with pytest.raises(OptionError, match="onehot"):
        nd.plot.connectivity(model, what="type")
    with pytest.raises(OptionError, match="each of the 4 units"):
        nd.plot.connectivity(model, sign=[1, 1])


def test_filters_with_their_intervals(model, counts):
    panels = nd.plot.filters(model, counts, pairs=[("a", "b"), ("c", "c")])
    assert [ax.get_title("left") for ax in panels] == ["b → a", "c → c"]
    line = next(one for one in panels[0].lines if one.get_label() == "state 1")
    np.testing.assert_allclose(line.get_xdata(), [20.0, 40.0, 60.0, 80.0])
    middle = model.filter_.sel(state=1, post="a", pre="b").values
    np.testing.assert_allclose(line.get_ydata(), middle)
    error = model.filter_se(counts, [("a", "b")]).sel(state=1).values[0]
    band = panels[0].collections[1].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((middle + 1.96 * error).max())
    assert band.min() == pytest.approx((middle - 1.96 * error).min())
    assert len(nd.plot.filters(model, counts, most=4)) == 4
    assert _draw(panels[0])
    with pytest.raises(OptionError, match="'z'"):
        nd.plot.filters(model, counts, pairs=[("z", "a")])


@pytest.mark.parametrize("settings", [{"prior": None}, {"prior": None, "self_history": 0.06}, {"prior": "onehot"}])
def test_errors_of_filters_are_those_of_their_sums(counts, settings):
    # One shape per pair: the filter is its sum times the shape, and so is its standard error.
    fitted = nd.models.HMMGLM(n_states=2, n_basis=1, history=0.06, n_restarts=1, rng=0, **settings).fit(counts)
    error = fitted.filter_se(counts, [("a", "b"), ("d", "c")]).sum("lag")
    expected = np.stack([fitted.weight_se_.values[:, 0, 1], fitted.weight_se_.values[:, 3, 2]], axis=1)
    np.testing.assert_allclose(error.values, expected, rtol=1e-3)


def test_transitions_show_probabilities_and_visits(model):
    ax = nd.plot.transitions(model)
    texts = [text.get_text() for text in ax.texts]
    dwell = 0.02 / (1.0 - np.diag(model.transition_.values))
    assert [text for text in texts if text.endswith(" s")] == [f"{visit:.2g} s" for visit in dwell]
    assert texts.count("1.00") == 2
    circles = [patch for patch in ax.patches if str(patch.get_gid()).startswith("state")]
    areas = np.array([circle.radius**2 for circle in circles])
    np.testing.assert_allclose(areas / areas.sum(), model.occupancy_.values, rtol=1e-6)
    assert sorted(patch.get_gid() for patch in ax.patches if patch not in circles) == ["0-1", "1-0"]
    assert _draw(ax)


def test_the_choice_of_the_number_of_states():
    number = [1, 2, 3]
    score = np.array([[0.1, 0.2], [0.3, 0.4], [0.31, 0.41]])
    both = {"mean": score.mean(axis=1), "se": np.array([0.05, 0.02, 0.0])}
    table = xr.Dataset(
        {
            "score": (("n_states", "fold"), score),
            "mean_score": ("n_states", both["mean"]),
            "score_se": ("n_states", both["se"]),
            "cosmoothing": (("n_states", "fold"), score / 2),
            "mean_cosmoothing": ("n_states", both["mean"] / 2),
            "cosmoothing_se": ("n_states", both["se"]),
            "bic": ("n_states", [1000.0, 900.0, 950.0]),
            "best": 2,
            "best_by_cosmoothing": 3,
            "best_by_bic": 2,
        },
        coords={"n_states": number},
    )
    panels = nd.plot.state_selection(table)
    assert [ax.get_title("left") for ax in panels] == ["best: 2", "best: 3", "best: 2"]
    np.testing.assert_allclose(panels[2].lines[0].get_ydata(), [100.0, 0.0, 50.0])
    np.testing.assert_allclose(panels[0].lines[1].get_ydata(), score[:, 1])
    assert panels[1].lines[-1].get_xdata().tolist() == [3]
    assert panels[1].lines[-1].get_ydata()[0] == pytest.approx(0.18)
    assert _draw(panels[0])
    with pytest.raises(OptionError, match="best_by_bic"):
        nd.plot.state_selection(table.drop_vars("best_by_bic"))


def test_states_over_a_raster():
    spikes = nd.make_spikes({"a": [0.5, 1.5], "b": [2.5]}, support=[[0.0, 4.0]])
    path = xr.DataArray([0, 0, 1, 1], dims="time", coords={"time": [0.5, 1.5, 2.5, 3.5]})
    ax = nd.plot.states(path, spikes)
    assert ax.lines[0].get_xdata().tolist() == [0.5, 1.5, 2.5]
    assert ax.get_xlim() == (0.0, 4.0)
    (strip,) = ax.child_axes
    assert [text.get_text() for text in strip.get_legend().get_texts()] == ["state 0", "state 1"]


def test_progress_tells_the_log_likelihood_of_each_start():
    class Told:
        def __init__(self):
            self.labels, self.notes = [], []

        def start(self, total, label):
            self.labels.append((total, label))

        def update(self, n=1, note=""):
            self.notes.append(note)

        def close(self):
            self.notes.append("closed")

    told = Told()
    # Without any states to be found EM crawls, so that the short runs are not the end.
    counts = nd.containers.make_counts(np.random.default_rng(1).poisson(0.5, (500, 4)), bin_width=0.02)
    settings = {"n_states": 2, "n_basis": 1, "n_restarts": 3, "rng": 0}
    fitted = nd.models.HMMGLM(**settings, progress=told).fit(counts)
    assert told.labels[0] == (3, "EM starts")
    ends = fitted.restart_log_likelihood_.values
    assert [note.split(",")[0] for note in told.notes[:3]] == [f"start {k + 1}: {ends[k]:.6g} nat" for k in range(3)]
    chosen = int(fitted.restart_objective_.values.argmax())
    assert told.labels[1][1] == f"EM from start {chosen + 1}"
    assert told.notes[-1] == "closed"
