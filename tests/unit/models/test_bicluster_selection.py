"""Number of latent factors: scores are those of fits by hand, and factors that are there are found."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import MissingOptionError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore:chains disagree")


@pytest.fixture(scope="module")
def counts():
    """Eight units, half of which rise when the others fall: one factor, and no second cluster to stand in for it."""
    rng = np.random.default_rng(0)
    factor = np.sin(np.arange(100) / 6.0)[:, None] * np.array([1.0, 1.5, 0.8, 1.2, -1.0, -1.5, -0.8, -1.2])
    return make_counts(rng.poisson(np.exp(1.0 + factor)), 0.5)


def model(**settings) -> nd.models.BiClustering:
    few = {"n_chains": 1, "n_warmup": 60, "n_draws": 40, "max_clusters": 1, "max_states": 1, "rng": 0}
    return nd.models.BiClustering(**{**few, **settings})


@pytest.fixture(scope="module")
def table(counts):
    return nd.models.select_n_latents(model(n_latents=7), counts, [1, 0], rng=5)


def test_a_factor_that_is_there_is_chosen(table):
    assert table["n_latents"].values.tolist() == [0, 1]
    assert int(table["best"]) == 1
    gain = table["mean_score"].sel(n_latents=1) - table["mean_score"].sel(n_latents=0)
    assert float(gain) > 3 * float(table["score_se"].sel(n_latents=0))
    assert float(table["score_se"].sel(n_latents=1)) == 0.0
    assert table["score"].attrs["units"] == "bit/spike"


def test_scores_are_those_of_fits_by_hand(table, counts):
    masks = [nd.models.speckle(counts, 0.1, rng=one) for one in np.random.default_rng(5).spawn(2)]
    for fold, mask in enumerate(masks):
        alone = model(n_latents=1).fit(counts.where(~mask))
        assert float(table["score"].sel(n_latents=1, fold=fold)) == pytest.approx(alone.score(counts, mask))
    weight = [float(counts.where(mask).sum()) for mask in masks]
    mean = np.average(table["score"].sel(n_latents=1), weights=weight)
    assert float(table["mean_score"].sel(n_latents=1)) == pytest.approx(mean)


def test_checkpoints_of_fits_lie_apart(counts, tmp_path):
    short = model(n_warmup=2, n_draws=2, checkpoint=str(tmp_path))
    few = nd.models.select_n_latents(short, counts, [0, 1], n_folds=1, rng=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latents_0_fold_0", "latents_1_fold_0"]
    parts = [counts.isel(time=slice(0, 50)), counts.isel(time=slice(50, None))]
    short.set_params(checkpoint=None)
    assert nd.models.select_n_latents(short, parts, [0], n_folds=1, rng=0)["score"].shape == few["score"][:1].shape


def test_bad_settings_are_named(counts):
    for candidates in ([], [-1], [0.5]):
        with pytest.raises(OptionError, match="candidates"):
            nd.models.select_n_latents(model(), counts, candidates)
    with pytest.raises(OptionError, match="n_folds"):
        nd.models.select_n_latents(model(), counts, n_folds=0)
    with pytest.raises(MissingOptionError, match="course_draws"):
        nd.models.select_n_latents(model(course_draws=0), counts)
