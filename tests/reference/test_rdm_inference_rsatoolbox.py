"""Comparators, ceilings, bootstraps, cross-validation against rsatoolbox 0.3.2; the exact definition where it errs.

rsatoolbox prints progress bars and warns about taus; both are silenced narrowly.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform

import neurodata as nd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # third-party imports
    from rsatoolbox import inference, model
    from rsatoolbox.rdm import RDMs, compare

CONDITIONS, SUBJECTS, MODELS = 9, 6, 3
TOLERANCE = 1e-10
NAMES = {
    "cosine": "cosine",
    "corr": "corr",
    "whitened-cosine": "cosine_cov",
    "whitened-corr": "corr_cov",
    "cka": "cosine_cov",
    "spearman": "spearman",
    "rho-a": "rho-a",
    "tau-a": "tau-a",
    "tau-b": "tau-b",
}


def patterns(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, CONDITIONS, 20))


def vectors(n: int, seed: int, tied: bool = False) -> np.ndarray:
    found = np.array([pdist(one) ** 2 for one in patterns(n, seed)])
    return np.round(found / 8) if tied else found


def labelled(rows: np.ndarray) -> xr.DataArray:
    return xr.DataArray(np.array([squareform(row) for row in rows]), dims=("rdm", "condition", "condition_2"))


def covariance_of_pairs(covariance: np.ndarray) -> np.ndarray:
    """V, the definition: the elementwise square of the covariance of all differences of two conditions."""
    n = len(covariance)
    rows, columns = np.triu_indices(n, 1)
    contrast = np.zeros((rows.size, n))
    contrast[np.arange(rows.size), rows], contrast[np.arange(rows.size), columns] = 1, -1
    return (contrast @ covariance @ contrast.T) ** 2


def whitened_cosine(a: np.ndarray, b: np.ndarray, v: np.ndarray, centre: bool) -> np.ndarray:
    if centre:
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    inverse = np.linalg.inv(v)
    size = [np.sqrt(np.einsum("ij,jk,ik->i", x, inverse, x)) for x in (a, b)]
    return a @ inverse @ b.T / np.outer(*size)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_comparators_agree(name, tied):
    a, b = vectors(3, 0, tied), vectors(4, 1, tied)
    ours = nd.models.compare_rdms(labelled(a), labelled(b), name)
    np.testing.assert_allclose(ours, compare(RDMs(a), RDMs(b), NAMES[name]), rtol=0, atol=TOLERANCE)


def test_bures_and_procrustes_agree():
    """rsatoolbox adds roots of rounding errors, about 1e-8; the definition from the patterns themselves does not."""
    one, other = patterns(2, 0), patterns(3, 1)
    a, b = labelled(vectors(2, 0)), labelled(vectors(3, 1))
    centred = [x - x.mean(axis=1, keepdims=True) for x in (one, other)]
    norm = np.array([[np.linalg.svd(x.T @ y, compute_uv=False).sum() for y in centred[1]] for x in centred[0]])
    trace = [np.einsum("ijk,ijk->i", x, x) for x in centred]
    for name in ("bures", "bures-metric"):
        ours = nd.models.compare_rdms(a, b, name)
        exact = norm / np.sqrt(np.outer(*trace)) if name == "bures" else np.add.outer(*trace) - 2 * norm
        np.testing.assert_allclose(ours, exact, rtol=TOLERANCE)
        theirs = compare(RDMs(vectors(2, 0)), RDMs(vectors(3, 1)), name.replace("-", "_"))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    disparity = [[procrustes(x, y)[2] for y in other] for x in one]
    np.testing.assert_allclose(nd.models.compare_rdms(a, b, "procrustes"), 1 - np.array(disparity), atol=TOLERANCE)


def test_tau_b_agrees_with_scipy_on_ties():
    a, b = vectors(2, 3, tied=True), vectors(2, 4, tied=True)
    expected = [[stats.kendalltau(x, y).statistic for y in b] for x in a]
    np.testing.assert_allclose(nd.models.compare_rdms(labelled(a), labelled(b), "tau-b"), expected, atol=1e-12)


def full_covariance() -> np.ndarray:
    noise = np.random.default_rng(5).normal(size=(CONDITIONS, 30))
    return noise @ noise.T / 30


@pytest.mark.parametrize("name", ["whitened-cosine", "whitened-corr"])
def test_whitening_is_exact_for_a_full_covariance_where_the_peer_stops_early(name):
    a, b, covariance = vectors(3, 0), vectors(4, 1), full_covariance()
    exact = whitened_cosine(a, b, covariance_of_pairs(covariance), name.endswith("corr"))
    ours = nd.models.compare_rdms(labelled(a), labelled(b), name, condition_covariance=covariance)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=TOLERANCE)
    theirs = compare(RDMs(a), RDMs(b), NAMES[name], sigma_k=covariance)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)  # conjugate gradients, to 1e-5


@pytest.mark.parametrize("name", ["whitened-cosine", "whitened-corr"])
def test_whitening_is_exact_for_variances_where_the_peer_is_wrong(name):
    a, b = vectors(3, 0), vectors(4, 1)
    variance = np.random.default_rng(2).uniform(0.2, 3.0, CONDITIONS)
    exact = whitened_cosine(a, b, covariance_of_pairs(np.diag(variance)), name.endswith("corr"))
    for given in (variance, np.diag(variance)):
        ours = nd.models.compare_rdms(labelled(a), labelled(b), name, condition_covariance=given)
        np.testing.assert_allclose(ours, exact, rtol=0, atol=TOLERANCE)
    # The defect: a vector of variances gives another answer than the same variances as a matrix.
    assert np.abs(compare(RDMs(a), RDMs(b), NAMES[name], sigma_k=variance) - exact).max() > 1e-4


@pytest.mark.parametrize("name", ["whitened-cosine", "whitened-corr"])
@pytest.mark.parametrize("kind", ["identity", "variances", "full"])
def test_whitening_with_unknown_pairs_restricts_the_covariance(name, kind):
    a, b = vectors(3, 0), vectors(4, 1)
    covariance = {"identity": np.eye(CONDITIONS), "variances": np.diag(np.arange(1.0, 10.0)), "full": full_covariance()}
    known = np.random.default_rng(1).random(a.shape[1]) > 0.25
    v = covariance_of_pairs(covariance[kind])[np.ix_(known, known)]
    exact = whitened_cosine(a[:, known], b[:, known], v, name.endswith("corr"))
    hide = [labelled(np.where(known, rows, np.nan)) for rows in (a, b)]
    ours = nd.models.compare_rdms(*hide, name, condition_covariance=covariance[kind])
    np.testing.assert_allclose(ours, exact, rtol=0, atol=TOLERANCE)


def resample_indices(n_draws: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    stimuli = rng.integers(0, CONDITIONS, (n_draws, CONDITIONS))
    stimuli[0] = [0, 0, 0, 0, 0, 1, 2, 3, 4]  # one condition in more than half of the draw
    return stimuli, rng.integers(0, SUBJECTS, (n_draws, SUBJECTS))


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau based on averaged ranks")  # rsatoolbox's own
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_bootstrap_and_ceilings_replayed_from_given_indices(name, tied):
    data, models = vectors(SUBJECTS, 0, tied), vectors(MODELS, 1, tied)
    draws = resample_indices()
    table = nd.models.bootstrap_rdms(
        labelled(models), labelled(data), resample="both", comparison=name, draws=draws, pooling="plain"
    )
    for k, (stimuli, subjects) in enumerate(zip(*draws, strict=True)):
        sample = RDMs(data).subsample("index", list(subjects)).subsample_pattern("index", list(stimuli))
        predicted = RDMs(models).subsample_pattern("index", list(stimuli))
        expected = compare(predicted, sample, NAMES[name]).mean(axis=1)
        np.testing.assert_allclose(table["score_draw"][0, k], expected, rtol=0, atol=TOLERANCE)
        bounds = inference.boot_noise_ceiling(sample, NAMES[name])
        np.testing.assert_allclose(table["ceiling_draw"][0, :, k], bounds, rtol=0, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau based on averaged ranks")
@pytest.mark.parametrize("name", NAMES)
def test_noise_ceilings_agree(name):
    data = vectors(SUBJECTS, 0)
    ours = nd.models.noise_ceiling(labelled(data), name, pooling="plain")
    np.testing.assert_allclose(ours, inference.boot_noise_ceiling(RDMs(data), NAMES[name]), rtol=0, atol=TOLERANCE)


def dual_draws(n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices that eval_dual_bootstrap draws from NumPy's global generator, its shuffles of folds included."""
    state = np.random.RandomState(seed)
    stimuli, subjects = [], []
    for _ in range(n_draws):
        subjects.append(state.randint(0, SUBJECTS, size=SUBJECTS))
        stimuli.append(state.randint(0, CONDITIONS, size=CONDITIONS))
        for of_subjects, of_stimuli in ((True, True), (True, False), (False, True)):
            state.shuffle(np.unique(subjects[-1]) if of_subjects else np.arange(SUBJECTS))
            state.shuffle(np.unique(stimuli[-1]) if of_stimuli else np.arange(CONDITIONS))
    return np.array(stimuli), np.array(subjects)


@pytest.mark.parametrize("name", ["corr", "cosine", "rho-a", "whitened-corr", "whitened-cosine"])
def test_dual_bootstrap_replayed(name):
    data, models = vectors(SUBJECTS, 0), vectors(MODELS, 1)
    fixed = [model.ModelFixed(f"m{k}", row) for k, row in enumerate(models)]
    before = np.random.get_state()  # noqa: NPY002 - the peer has no other generator
    np.random.seed(3)  # noqa: NPY002
    theirs = inference.eval_dual_bootstrap(fixed, RDMs(data), method=NAMES[name], N=25, k_pattern=1, k_rdm=1)
    np.random.set_state(before)  # noqa: NPY002
    ours = nd.models.bootstrap_rdms(
        labelled(models), labelled(data), comparison=name, draws=dual_draws(25, 3), pooling="plain"
    )
    first, second = np.triu_indices(MODELS, 1)
    for mine, peer in (
        (ours["score_draw"].values, theirs.evaluations[:, :, 0, 0].transpose(2, 0, 1)),
        (ours["ceiling_draw"].values, theirs.noise_ceiling[:, :, 0].transpose(2, 0, 1)),
        (ours["variance"].values, theirs.model_var),
        (ours["difference_error"].values[first, second] ** 2, theirs.diff_var),
        (ours["p_zero"].values, stats.t.sf(ours["score"] / np.sqrt(theirs.model_var), theirs.dof)),
    ):
        np.testing.assert_allclose(mine, peer, rtol=0, atol=TOLERANCE)
    assert ours.attrs["dof"] == theirs.dof


def test_dual_bootstrap_with_variances_is_the_definition_in_every_resample():
    """Copies of a condition have errors of their own; the pairs of copies of one condition are left out of V."""
    data, models = vectors(SUBJECTS, 0), vectors(MODELS, 1)
    variance = np.random.default_rng(2).uniform(0.2, 3.0, CONDITIONS)
    stimuli, _ = resample_indices(6)
    for name in ("whitened-cosine", "whitened-corr"):
        ours = nd.models.bootstrap_rdms(
            labelled(models),
            labelled(data),
            resample="stimuli",
            comparison=name,
            draws=(stimuli, None),
            condition_covariance=variance,
        )
        for k, drawn in enumerate(stimuli):
            rows, columns = np.triu_indices(CONDITIONS, 1)
            other = drawn[rows] != drawn[columns]
            v = covariance_of_pairs(np.diag(variance[drawn]))[np.ix_(other, other)]
            a, b = (
                np.array([squareform(x)[np.ix_(drawn, drawn)][rows, columns][other] for x in stack])
                for stack in (models, data)
            )
            exact = whitened_cosine(a, b, v, name.endswith("corr")).mean(axis=1)
            np.testing.assert_allclose(ours["score_draw"][0, k], exact, rtol=0, atol=TOLERANCE)


def test_a_condition_that_makes_the_closed_form_divide_by_zero():
    """Six conditions of which one was drawn four times: d_i = 2 + 6 - 2 * 4 = 0."""
    rng = np.random.default_rng(0)
    data, models = (np.array([pdist(rng.normal(size=(6, 9))) ** 2 for _ in range(3)]) for _ in range(2))
    drawn = np.array([[0, 0, 0, 0, 1, 2], [2, 1, 2, 2, 2, 5]])
    ours = nd.models.bootstrap_rdms(
        labelled(models),
        labelled(data),
        resample="stimuli",
        comparison="whitened-cosine",
        draws=(drawn, None),
        pooling="plain",
    )
    for k, stimuli in enumerate(drawn):
        sample, predicted = (RDMs(x).subsample_pattern("index", list(stimuli)) for x in (data, models))
        expected = compare(predicted, sample, "cosine_cov").mean(axis=1)
        np.testing.assert_allclose(ours["score_draw"][0, k], expected, rtol=0, atol=TOLERANCE)
        bounds = inference.boot_noise_ceiling(sample, "cosine_cov")
        np.testing.assert_allclose(ours["ceiling_draw"][0, :, k], bounds, rtol=0, atol=TOLERANCE)


FOLDS = [([0, 1], [0, 1, 2, 3]), ([2, 3, 4, 5], [4, 5, 6, 7, 8])]


@pytest.mark.parametrize("name", ["corr", "cosine", "rho-a"])
def test_crossvalidation_of_given_folds_agrees(name):
    data, parts = vectors(SUBJECTS, 0), vectors(MODELS, 1)
    data = data + 0.5 * parts[0] + parts[1]
    train, test, ceil = [], [], []
    for subjects, stimuli in FOLDS:
        others = [s for s in range(SUBJECTS) if s not in subjects]
        rest = [c for c in range(CONDITIONS) if c not in stimuli]
        train.append((RDMs(data[others]).subset_pattern("index", rest), rest))
        test.append((RDMs(data[subjects]).subset_pattern("index", stimuli), stimuli))
        ceil.append((RDMs(data[others]).subset_pattern("index", stimuli), stimuli))
    peers = [model.ModelFixed("fixed", parts[0]), model.ModelSelect("best", RDMs(parts))]
    fitters = [model.fitter.fit_mock, model.fitter.fit_select]
    ours = {"fixed": labelled(parts)[0], "best": nd.models.SelectedRDM(labelled(parts))}
    if name == "corr":  # its non-negative fit does not end for cosine on these data
        peers.append(model.ModelWeighted("sum", RDMs(parts)))
        fitters.append(model.fitter.fit_regress_nn)
        ours["sum"] = nd.models.WeightedRDM(labelled(parts))
    theirs = inference.crossval(peers, RDMs(data), train, test, ceil, method=name, fitter=fitters)
    found = nd.models.crossvalidate_models(ours, labelled(data), comparison=name, folds=FOLDS)
    np.testing.assert_allclose(found["score_fold"].T, theirs.evaluations[0], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["ceiling"][0], theirs.noise_ceiling[0], rtol=0, atol=TOLERANCE)
