"""HMMGLM: the estimator. Arrays with labels in, arrays with labels out; the numerics are in the files beside it."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from scipy.special import gammaln, logsumexp

from neurodata._core.parallel import run_parallel, threads_for
from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics.scores import bits_per_spike, poisson_log_likelihood
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.kernels.hmm_nb import forward_backward, viterbi
from neurodata.kernels.poisson_nb import LINKS
from neurodata.models.base import Model
from neurodata.models.covariates import Covariates, covariate_names, read_covariates
from neurodata.models.hmm_glm.basis import make_basis, n_lags, refractory
from neurodata.models.hmm_glm.design import Design, Layout, build_design, mean_count, recorded_together
from neurodata.models.hmm_glm.em import Posterior, Problem, Run, advance, begin, state_log_likelihood
from neurodata.models.hmm_glm.laplace import Uncertainty, effective_number, uncertainty
from neurodata.models.hmm_glm.learned_prior import Couplings, learn_couplings
from neurodata.models.hmm_glm.mstep import Penalty
from neurodata.models.hmm_glm.onehot import TYPES
from neurodata.models.hmm_glm.settings import check_settings
from neurodata.models.hmm_glm.shape import learn_shapes, with_shapes
from neurodata.models.hmm_glm.simulation import simulate_counts
from neurodata.models.hmm_glm.starts import intercept_guess, one_state, start
from neurodata.models.sequences import CountSequences, read_counts

Counts = xr.DataArray | Sequence[xr.DataArray]

# EM iterations every restart gets before the best one is continued.
_SHORT_RUN = 8
# Expected gain (nats, per unit) at which the regression without states is done: as the result, and as a beginning.
_CONVERGED, _NEAR = 1e-10, 1e-6
# Precision of the intercepts, at ridge 1: a spread of ten.
_INTERCEPT_PRECISION = 0.01


class HMMGLM(Model):
    """Hidden brain states, each with its own couplings between units: a switching Poisson regression.

    In state s, unit n spikes with mean count ``f(b[s, n] + sum over m, k of h[s, n, m, k] * x[t - k, m])`` per bin,
    x the counts of all units m in the bins before and f the link. States follow a Markov chain.

    Parameters
    ----------
    n_states : int
        Number of hidden states; 1 is a plain regression.
    prior : {"onehot", "gaussian"} or None
        What ties couplings together. "onehot", the default: each pair is inhibitory, absent or excitatory in each
        state, the states share the odds of these types, and the sizes of weights are learned: gives posterior
        probabilities of the types and weights that are exactly as strong as the data can say. "gaussian": weights lie
        round a mean that the states share, both spreads learned. None: the plain `ridge`, each state for itself.
    basis : {"raised_cosine", "exponential"}
        Shape of the filters h over lags: weighted raised cosines, or one column ``exp(-k)`` (`n_basis` is ignored).
    n_basis : int
        Raised cosines per pair; at most one per bin of `history`.
    history : float
        Longest lag, s.
    couplings : bool
        False: no unit depends on another; what `prior` says is then ignored. Units depend on the state, and on their
        own past if `self_history` is given. What couplings are worth is the difference in `score` or `cosmoothing`.
    self_history : float, optional
        A length (s) gives each unit a basis for its own past: the first bin by itself (refractoriness) and raised
        cosines over the rest. By default a unit is coupled to itself as to any other.
    link : {"exp", "softplus", "sigmoid"}
        ``f``. The sigmoid, at most one spike per bin on average, is not concave.
    stickiness : float
        Pseudo-count added to staying in a state (Dirichlet prior of the transitions).
    n_restarts : int
        Starts of EM. Each gets a few iterations, the best is continued.
    max_iter : int
        Most EM iterations.
    tol : float
        Stop when the objective gains less than this part of itself in an iteration.
    share_intercept : bool
        One intercept per unit in all states.
    dale : bool
        With ``prior="onehot"``: all couplings from one unit have the same sign (Dale's law).
    ridge : float
        Strength of the Gaussian prior of the weights; with a learned prior, of the first fit only. All weights have the
        same prior spread, such that the history as a whole moves the linear predictor by about ``1 / sqrt(ridge)``: the
        precision of a weight is `ridge` times the summed variance of the regressors. Intercepts have a wide prior
        (precision ``0.01 * ridge``) round the unit's mean count. 0 is maximum likelihood.
    rng : int, Generator or None
        Of the restarts. The same seed gives the same fit.
    n_jobs : int
        Processes for the restarts.
    progress : bool
        Show a bar.

    Attributes
    ----------
    filter_ : DataArray (state, post, pre, lag)
        h; `lag` in s. NaN for units without an observed count.
    weight_ : DataArray (state, post, pre)
        Filters summed over lags.
    weight_se_ : DataArray (state, post, pre)
        Standard errors from the curvature at the fit, the states taken as their posterior (Laplace).
        `weight_se_method_` says how it was computed: "exact", on a "sampled" part of the bins, or, for large problems,
        with one matrix per state "shared" by all units.
    intercept_ : DataArray (state, unit)
        b.
    connection_prob_ : DataArray (state, post, pre, connection)
        ``prior="onehot"``: posterior probability of each type (inhibitory, none, excitatory) in each state.
    connection_prior_ : DataArray (post, pre, connection)
        The probabilities that the states share: the state-constant connectome.
    connection_ : DataArray (state, post, pre)
        The most probable type, -1, 0 or 1.
    shared_weight_ : DataArray (post, pre)
        ``prior="gaussian"``: the mean that the states share.
    prior_parameters_ : str
        The learned numbers of the prior, as JSON.
    transition_ : DataArray (state, state_2)
        Probability of going from `state` to `state_2` in one bin.
    initial_ : DataArray (state,)
        Probability of the first state of a sequence.
    occupancy_ : DataArray (state,)
        Expected part of the bins in each state; states are in descending order of it.
    log_likelihood_, objective_ : DataArray (iteration,)
        Log-likelihood, and log-likelihood plus log-prior, which never falls; with a learned prior, since it was last
        updated.
    restart_objective_, restart_log_likelihood_ : DataArray (restart,)
        Objective and log-likelihood (nats) of every restart when the best was chosen.
    covariate_weight_, covariate_weight_se_ : DataArray (state, unit, covariate)
        When fitted with covariates: what one unit of each adds to the linear predictor, and its standard error, as
        `weight_se_`.
    rate_ : DataArray (unit,)
        Mean count per bin of the fitted data, the baseline of `score`.
    mean_count_ : DataArray (unit,)
        Mean of all observed counts, used bins or not: what the others see of a unit in sequences it is not part of.
    basis_shape_, self_basis_shape_ : DataArray (basis, basis_lag)
        Shapes that filters are made of.
    coefficient_, self_coefficient_ : DataArray
        Weights of the basis shapes.
    penalty_precision_, penalty_centre_ : DataArray (state, column, unit)
        The Gaussian prior of each coefficient that the fit ended with; columns are those of the regression.
    n_effective_ : float
        Effective number of coefficients: the trace of the data's curvature over that of the posterior, which adds the
        prior's. A coefficient that the prior holds where it is counts as none. From the same curvatures as
        `weight_se_`.
    converged_, n_iter_, bin_width_, weight_se_method_
        Whether `tol` was met; EM iterations of the start that was chosen, in all; s; see `weight_se_`.

    Notes
    -----
    After Li, Kim, Rodgers, Choi and Wu 2024 (ICLR, arXiv:2310.15263). Departures: the E-step is exact over all
    sequences at once, the M-step raises the exact objective, transitions have a sticky Dirichlet prior, intercepts
    differ between states unless shared, and EM has a stopping rule and restarts. The paper relaxes the types with
    Gumbel-softmax samples, whose density is unbounded where a type is certain; here types are summed over exactly and
    weights are combined with them by expectation propagation, so that probabilities are calibrated. With several
    shapes per pair the type is that of the filter summed over lags.

    A count enters the likelihood when it was observed (not NaN) and so was the whole history before it. The first
    `history` of a sequence, and as much after a missing count, therefore inform the chain only through their
    neighbours. A unit that is NaN throughout a sequence is not part of that sequence.

    A list may hold sessions with different units: each unit has one intercept and each pair one coupling, fitted to all
    sessions that have them. Weights of pairs that were never recorded together are NaN, and with ``prior="onehot"``
    their probabilities are those of the prior alone. A unit absent from a session is taken to send its mean count to
    the others all the time, so that intercepts mean the same everywhere.

    Covariates enter the linear predictor at the bin they belong to, with a weight for each unit in each state; lags are
    columns of their own (see `neurodata.preprocess.stimulus_regressors`). Their prior is as wide as the couplings': all
    of them together move the predictor by about ``1 / sqrt(ridge)`` a priori, whatever their units of measurement.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 3)), bin_width=0.02)
    >>> model = nd.models.HMMGLM(n_states=2, n_restarts=2, rng=0).fit(counts)
    >>> model.weight_.dims, model.predict_proba(counts).dims
    (('state', 'post', 'pre'), ('time', 'state'))
    """

    _results: ClassVar[tuple[str, ...]] = (
        "filter_",
        "weight_",
        "weight_se_",
        "intercept_",
        "transition_",
        "initial_",
        "occupancy_",
        "log_likelihood_",
        "objective_",
        "restart_objective_",
        "restart_log_likelihood_",
        "rate_",
        "coefficient_",
        "self_coefficient_",
        "penalty_precision_",
        "penalty_centre_",
        "basis_shape_",
        "self_basis_shape_",
        "covariate_weight_",
        "covariate_weight_se_",
        "mean_count_",
        "connection_prob_",
        "connection_prior_",
        "connection_",
        "shared_weight_",
    )
    _facts: ClassVar[tuple[str, ...]] = (
        "prior_parameters_",
        "converged_",
        "n_iter_",
        "bin_width_",
        "weight_se_method_",
        "n_effective_",
        "largest_count_",
        "sessions_differ_",
    )

    def __init__(
        self,
        *,
        n_states: int = 3,
        prior: str | None = "onehot",
        basis: str = "raised_cosine",
        n_basis: int = 5,
        history: float = 0.1,
        couplings: bool = True,
        self_history: float | None = None,
        link: str = "exp",
        stickiness: float = 10.0,
        n_restarts: int = 5,
        max_iter: int = 200,
        tol: float = 1e-6,
        share_intercept: bool = False,
        dale: bool = False,
        ridge: float = 10.0,
        rng: RNGLike = None,
        n_jobs: int = 1,
        progress: bool | Progress = False,
    ) -> None:
        self.n_states = n_states
        self.prior = prior
        self.basis = basis
        self.n_basis = n_basis
        self.history = history
        self.couplings = couplings
        self.self_history = self_history
        self.link = link
        self.stickiness = stickiness
        self.n_restarts = n_restarts
        self.max_iter = max_iter
        self.tol = tol
        self.share_intercept = share_intercept
        self.dale = dale
        self.ridge = ridge
        self.rng = rng
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, data: Counts, covariates: Covariates | None = None) -> HMMGLM:
        """Fit the model.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts (time, unit), (trial, time, unit), or a list of such; NaN = not observed. The bin width is
            ``attrs["bin_width"]``, else the step of a regular `time`; a jump in `time` begins a new sequence. Arrays of
            a list may have different units.
        covariates : DataArray (time, covariate) or list of DataArray, optional
            What else was known: stimuli, running speed, ...; one array for each of `data`, with a leading `trial` where
            trials differ. Each bin takes the values at its own `time`; bins in which one is NaN are not used. Weights
            are in `covariate_weight_`.

        Returns
        -------
        HMMGLM
            The model itself.

        Raises
        ------
        OptionError
            Settings that make no sense, all of them at once.
        RecordingError, MissingOptionError
            Data that are no counts, without spikes, shorter than the history, or of unknown bin width; covariates that
            do not fit the counts.
        """
        check_settings(self.get_params(deep=False))
        sequences = read_counts(data, union=True)
        names = None if covariates is None else covariate_names(covariates)
        layout = self._make_layout(len(sequences.unit), sequences.bin_width, 0 if names is None else len(names))
        values = None if names is None or covariates is None else read_covariates(covariates, sequences, names)
        design = build_design(sequences, layout, values)
        scale = _standardised(design, layout)
        if self.n_states > len(design.columns):
            raise OptionError(
                f"no more states than bins that can be used, {len(design.columns)}",
                f"n_states={self.n_states}",
                "fit fewer states or longer data",
            )
        with threads_for(design.columns.size * layout.n_units * self.n_states):
            problem = self._make_problem(design, layout)
            learned = self._learned()
            exact = self.n_states == 1 and not learned
            base = one_state(problem.design, problem.penalty, problem.link, _CONVERGED if exact else _NEAR)
            if learned and len(layout.basis) > 1:
                layout, design, base = with_shapes(learn_shapes(design, layout, base), layout, design, base)
                problem = self._make_problem(design, layout)
            run, restarts = self._search(problem, base)
            run = _by_occupancy(run)
            couplings, n_iter = None, len(run.objective) - 1
            if learned:
                problem, run, couplings = self._learn(problem, layout, run)
                n_iter += couplings.n_iter
            if couplings is not None:
                known = couplings.uncertainty
            else:
                known = uncertainty(problem, layout, run.parameters.theta, run.posterior)
        self._forget()
        together = recorded_together(sequences, design)
        self._store(sequences, layout, problem, run, known, together, scale)
        if names is not None:
            self._store_covariates(layout, problem, run, known, names, scale)
        self.sessions_differ_ = any(not seen.all() for seen in _units_of(data, sequences))
        if couplings is not None:
            self._store_prior(sequences.unit, couplings)
        for name in ("objective", "log_likelihood"):
            ends = [getattr(one, name)[-1] for one in restarts]
            setattr(self, f"restart_{name}_", xr.DataArray(ends, dims="restart", attrs={"units": "nat"}))
        self.converged_ = run.converged
        self.n_iter_ = n_iter
        self.bin_width_ = sequences.bin_width
        self.weight_se_method_ = known.method
        self.n_effective_ = effective_number(known, problem.penalty)
        self.largest_count_ = int(sequences.counts.max())
        self._name_results()
        if not run.converged:
            warnings.warn(
                f"EM stopped after max_iter={self.max_iter} iterations, its objective not yet settled to "
                f"tol={self.tol:g}: raise max_iter, or ask for fewer states",
                NeurodataWarning,
                stacklevel=2,
            )
        return self

    def predict(self, data: Counts, covariates: Covariates | None = None) -> xr.DataArray | list[xr.DataArray]:
        """Most probable path of states (Viterbi).

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts of the units of the fit. Where the fit had sessions of different units, some may be missing.
        covariates : DataArray or list of DataArray, optional
            Those of the fit, for these data.

        Returns
        -------
        DataArray (time,) or (trial, time), or a list of them as `data` is
            State of each bin; -1 in bins outside the first and last observed one.
        """
        sequences, design = self._design(data, covariates)
        path, _ = viterbi(*self._chain(design))
        return sequences.restore(path, -1, long_name="most probable state")

    def predict_proba(self, data: Counts, covariates: Covariates | None = None) -> xr.DataArray | list[xr.DataArray]:
        """Posterior probability of each state in each bin.

        Returns
        -------
        DataArray (time, state) or (trial, time, state), or a list of them as `data` is
            NaN in bins outside the first and last observed one.
        """
        sequences, design = self._design(data, covariates)
        _, gamma, _, _ = forward_backward(*self._chain(design))
        return sequences.restore(
            gamma, np.nan, {"state": self.initial_["state"].values}, units="1", long_name="posterior probability"
        )

    def log_likelihood(self, data: Counts, covariates: Covariates | None = None) -> float:
        """Exact log-likelihood (nats) of counts, summed over all paths of states."""
        _, design = self._design(data, covariates)
        return float(forward_backward(*self._chain(design))[0].sum()) + design.constant

    def score(self, data: Counts, covariates: Covariates | None = None) -> float:
        """Bits per spike gained over a constant rate of each unit, the one it had in the fitted data.

        The score of held-out data is the model's honest measure. Only counts with a complete history are scored.
        """
        _, design = self._design(data, covariates)
        log_likelihood = float(forward_backward(*self._chain(design))[0].sum()) + design.constant
        counts = np.where(design.counts >= 0, design.counts, np.nan)
        fitted = np.isfinite(self.rate_.values)
        baseline = poisson_log_likelihood(counts[:, fitted], self.rate_.values[fitted])
        return bits_per_spike(log_likelihood, baseline, float(design.n_spikes.sum()))

    def cosmoothing(self, data: Counts, held_out_units: Sequence[Any], covariates: Covariates | None = None) -> float:
        """Bits per spike of units that had no say in which state it was.

        The states are inferred from all other units; each count of the held-out units is then predicted from the
        probabilities of the states in its bin and the counts before it. Too many states do not help here, as they may
        do in `score`, where each unit's own counts choose between them.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts, best such that the fit did not see.
        held_out_units : sequence of unit ids
            At least one unit, and not all.
        covariates : DataArray or list of DataArray, optional
            Those of the fit, for these data.

        Returns
        -------
        float
            Gain over a constant rate of each unit, the one it had in the fitted data.
        """
        _, design = self._design(data, covariates)
        ids = self.intercept_["unit"].values
        held = np.isin(ids, np.asarray(list(held_out_units)))
        if held.sum() != len(set(held_out_units)) or held.all() or not held.any():
            raise OptionError(
                "held_out_units, at least one of the fitted units and not all",
                repr(list(held_out_units)),
                f"choose among {ids[:8].tolist()}{'...' if len(ids) > 8 else ''}",
            )
        inferring = dataclasses.replace(design, counts=np.where(held, -1, design.counts).astype(np.int32))
        predicted = dataclasses.replace(design, counts=np.where(held, design.counts, -1).astype(np.int32))
        _, gamma, _, _ = forward_backward(*self._chain(inferring))
        log_likelihood = state_log_likelihood(predicted, self._theta(), LINKS[self.link])
        with np.errstate(divide="ignore"):
            total = float(logsumexp(np.log(gamma) + log_likelihood, axis=1)[design.row_bin].sum())
        used = predicted.counts[predicted.counts > 1]
        total -= float(gammaln(used + 1.0).sum())
        counts = np.where(predicted.counts >= 0, predicted.counts, np.nan)
        scored = held & np.isfinite(self.rate_.values)
        baseline = poisson_log_likelihood(counts[:, scored], self.rate_.values[scored])
        return bits_per_spike(total, baseline, float(predicted.n_spikes.sum()))

    def simulate(self, n_bins: int, *, covariates: xr.DataArray | None = None, rng: RNGLike = None) -> xr.Dataset:
        """Draw states and counts from the fitted model, beginning with a silent history.

        Parameters
        ----------
        n_bins : int
        covariates : DataArray (time, covariate), optional
            Of each of the `n_bins` bins, when the model was fitted with covariates; without NaN.
        rng : int, Generator or None

        Returns
        -------
        Dataset
            `counts` (time, unit) and `state` (time).
        """
        from neurodata.containers.spikes import make_counts

        self._require_fit()
        layout, theta = self._fitted_layout(), self._theta()
        coupling, own = layout.coefficients(theta)
        time = None if covariates is None or "time" not in covariates.coords else covariates["time"].values
        empty = make_counts(
            np.zeros((int(n_bins), layout.n_units)), self.bin_width_, time=time, unit=self.intercept_["unit"].values
        )
        values = self._covariates(covariates, read_counts(_timed(empty, covariates), need_spikes=False))
        if values is not None and not np.isfinite(values).all():
            raise RecordingError("covariates of every bin", "NaN", "fill in what is not known")
        base = np.repeat(theta[None, :, 0], 1 if values is None else int(n_bins), axis=0)
        if values is not None:
            base = base + np.einsum("tc,suc->tsu", values, layout.covariates(theta))
        counts, state, capped = simulate_counts(
            base,
            layout.filters(coupling, own),
            self.initial_.values,
            self.transition_.values,
            LINKS[self.link],
            int(n_bins),
            2 * self.largest_count_ + 1,
            generator(rng),
        )
        if capped:
            warnings.warn(
                f"the fitted excitation feeds on itself: {capped} counts were held at {2 * self.largest_count_ + 1}",
                NeurodataWarning,
                stacklevel=2,
            )
        labelled = make_counts(counts, self.bin_width_, time=time, unit=self.intercept_["unit"].values)
        return xr.Dataset({"counts": labelled, "state": ("time", state)}, attrs={"model": "HMMGLM"})

    def to_pymc(self, data: Counts, *, marginal: bool = False, covariates: Covariates | None = None) -> Any:
        """A PyMC model of all coefficients, for their full posterior by NUTS.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts, usually those of the fit.
        marginal : bool
            False: the states are given, each bin counts for each state by its posterior probability under the fit, as
            in the M-step. True: the states are summed over, transitions and first states are variables too, and the
            posterior includes the uncertainty about the states.
        covariates : DataArray or list of DataArray, optional
            Those of the fit, for these data.

        Returns
        -------
        pymc.Model
            With labelled dims (state, post, pre, basis, ...) and `weight` (state, post, pre) beside the variables.
            Priors are the Gaussian ones that the fit ended with (with a learned prior, one per weight), and sampling
            starts at the fit: states keep their numbers with
            ``pm.sample(init="adapt_diag", model=model)``, which adds no jitter to the start.

        Notes
        -----
        The array (bin, state, unit) is held in memory several times: for some ten units and some ten thousand bins.
        """
        from neurodata.models.hmm_glm.to_pymc import Fitted, pymc_model

        _, design = self._design(data, covariates)
        gamma = None if marginal else forward_backward(*self._chain(design))[1]
        fitted = Fitted(
            self._theta(),
            self.penalty_precision_.values,
            self.penalty_centre_.values,
            self.initial_.values,
            self.transition_.values,
            self.intercept_["unit"].values,
            self.link,
            bool(self.share_intercept),
            float(self.stickiness),
        )
        return pymc_model(design, self._fitted_layout(), fitted, gamma)

    def filter_se(
        self, data: Counts, pairs: Sequence[tuple[Any, Any]], covariates: Covariates | None = None
    ) -> xr.DataArray:
        """Standard errors of filters at each lag, from the curvature at the fit, the states taken as their posterior.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts of the fit.
        pairs : sequence of (post, pre)
            Ids of units.
        covariates : DataArray or list of DataArray, optional
            Those of the fit.

        Returns
        -------
        DataArray (state, pair, lag)
            With the coordinates `post` and `pre` on `pair`.
        """
        from neurodata.models.hmm_glm.filter_error import filter_standard_error

        _, design = self._design(data, covariates)
        row = {unit: i for i, unit in enumerate(self.intercept_["unit"].values.tolist())}
        unknown = [unit for pair in pairs for unit in pair if unit not in row]
        if unknown:
            raise OptionError("pairs of ids of fitted units", f"{unknown[0]!r}", f"choose among {list(row)[:8]}")
        gamma = forward_backward(*self._chain(design))[1]
        index = [(row[post], row[pre]) for post, pre in pairs]
        precision, link = self.penalty_precision_.values, LINKS[self.link]
        error = filter_standard_error(design, self._fitted_layout(), self._theta(), precision, gamma, link, index)
        coords = {"state": self.filter_["state"].values, "lag": self.filter_["lag"].values}
        ends = {name: ("pair", [pair[k] for pair in pairs]) for k, name in enumerate(("post", "pre"))}
        return xr.DataArray(
            error, dims=("state", "pair", "lag"), coords={**coords, **ends}, attrs=dict(self.filter_.attrs)
        ).assign_attrs(long_name="standard error of the filter")

    def test_connections(
        self,
        data: Counts,
        covariates: Covariates | None = None,
        *,
        level: float = 0.05,
        control: str = "fdr",
        null: str = "empirical",
        slow: float | None = 0.1,
    ) -> xr.Dataset:
        """Which pairs are connected in each state, at an error rate that holds when units share a slow drive.

        Couplings are fitted again without a learned prior, the states as their posterior, with the slow activity that
        units share as a regressor; what is left of the drive is taken out of all pairs by its pattern. One test per
        pair: of the strength of the course over lags that all filters have in common.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts of the fit.
        covariates : DataArray or list of DataArray, optional
            Those of the fit.
        level : float
            Error rate.
        control : {"fdr", "pair"}
            What `level` is about: the expected part of false ones among all that are called, over states and pairs
            (Benjamini and Hochberg), or the chance of each unconnected pair to be called.
        null : {"empirical", "theoretical"}
            Null distribution of z: centre and width estimated, for each state, from the central statistics (Efron
            2004, doi:10.1198/016214504000000089), or standard normal.
        slow : float or None
            Standard deviation (s) of the window that makes slow activity; how many components are shared is found by
            comparison with shifted units. None: nothing is done about a drive.

        Returns
        -------
        Dataset (state, post, pre)
            `z`; its `p` value; `q`, the p value adjusted for the false discovery rate; `connected`; `weight` and
            `weight_se`, what z is made of; and `null_centre`, `null_width` (state). NaN, and not connected, for units
            with themselves, units without spikes and pairs never recorded together.

        Notes
        -----
        A drive that is as fast as synapses is not told from them: see ``docs/hmm_glm_connections.md``.

        Examples
        --------
        >>> import neurodata as nd, numpy as np
        >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (600, 3)), bin_width=0.02)
        >>> model = nd.models.HMMGLM(n_states=1, rng=0).fit(counts)
        >>> tests = model.test_connections(counts)
        >>> dict(tests.connected.sizes)
        {'state': 1, 'post': 3, 'pre': 3}
        """
        from neurodata.models.hmm_glm import connection_tests as ct
        from neurodata.models.hmm_glm.slow_activity import slow_activity

        ct.check_options(level, control, null, slow)
        if not self.couplings:
            raise OptionError("a model with couplings", "couplings=False", "fit with couplings=True to test them")
        sequences, design = self._design(data, covariates)
        posterior = Posterior(forward_backward(*self._chain(design))[1], np.empty(0), np.empty(0), np.empty(0))
        shared = np.empty((design.n_bins, 0)) if slow is None else slow_activity(sequences, slow)
        found = ct.refit(design, self._fitted_layout(), self._theta(), posterior, LINKS[self.link], shared)
        result = ct.tests(found, recorded_together(sequences, design), null)
        labels = self.initial_["state"].values, self.intercept_["unit"].values
        return ct.table(found, result, *labels, level, control, null)

    def _make_layout(self, n_units: int, bin_width: float, n_covariates: int = 0) -> Layout:
        basis = make_basis(self.basis, self.n_basis, n_lags(self.history, bin_width, "history"))
        basis = basis if self.couplings else basis[:0]
        own = None
        if self.self_history is not None:
            own = refractory(self.n_basis, n_lags(self.self_history, bin_width, "self_history"))
        return Layout(n_units, basis, own, n_covariates)

    def _learned(self) -> bool:
        """Whether a prior of couplings is to be learned."""
        return bool(self.couplings) and self.prior is not None

    def _make_problem(self, design: Design, layout: Layout) -> Problem:
        spread = design.columns.var(axis=0)[:, None] * (1.0 if layout.free() is None else layout.free())
        # The prior spread of the summed contributions of all units is then 1 / sqrt(ridge); that of covariates too.
        history = slice(0, layout.n_history)
        precision = np.full(layout.n_columns, float(self.ridge) * max(spread[history].sum(axis=0).mean(), 1e-12))
        if self._learned():
            # Every shape has the same share in it: what all pairs have in common is then seen undistorted.
            by_shape = spread[1 : 1 + layout.n_coupling].mean(axis=1).reshape(layout.n_units, -1).mean(axis=0)
            precision[1 : 1 + layout.n_coupling] *= np.tile(by_shape / max(by_shape.mean(), 1e-12), layout.n_units)
        precision[layout.n_history :] = float(self.ridge) * max(layout.n_covariates, 1)
        precision[0] = _INTERCEPT_PRECISION * self.ridge
        centre = np.zeros((layout.n_columns, layout.n_units))
        centre[0] = intercept_guess(design, LINKS[self.link])
        penalty = Penalty(precision, centre, layout.free(), bool(self.share_intercept))
        return Problem(design, LINKS[self.link], penalty, float(self.stickiness))

    def _search(self, problem: Problem, base: np.ndarray) -> tuple[Run, list[Run]]:
        """All restarts for a few iterations, then the best to the end."""
        n_restarts = 1 if self.n_states == 1 else self.n_restarts
        short = min(_SHORT_RUN, self.max_iter)
        rngs = generator(self.rng).spawn(n_restarts)
        calls = [(problem, base, self.n_states, i, rngs[i], short, self.tol) for i in range(n_restarts)]
        progress = as_progress(self.progress)
        try:
            runs = _all_runs(calls, self.n_jobs, progress)
            best = max(runs, key=lambda run: run.objective[-1])
            if not best.converged:
                chosen = next(i for i, run in enumerate(runs) if run is best)
                progress.start(self.max_iter - short, f"EM from start {chosen + 1}")
                best = advance(problem, best, self.max_iter - short, self.tol, progress)
        finally:
            progress.close()
        return best, runs

    def _learn(self, problem: Problem, layout: Layout, run: Run) -> tuple[Problem, Run, Couplings]:
        """Go on under a prior learned from all couplings."""
        progress = as_progress(self.progress)
        progress.start(self.max_iter, "EM under the learned prior")
        try:
            return learn_couplings(
                problem,
                layout,
                run,
                str(self.prior),
                dale=bool(self.dale),
                max_iter=self.max_iter,
                tol=self.tol,
                progress=progress,
            )
        finally:
            progress.close()

    def _store_prior(self, unit: np.ndarray, couplings: Couplings) -> None:
        pair = {"post": unit, "pre": unit}
        state = {"state": self.intercept_["state"].values}
        if couplings.probability is not None and couplings.connectome is not None:
            kind = {"connection": list(TYPES)}
            self.connection_prob_ = _labelled(
                couplings.probability, {**state, **pair, **kind}, "1", "posterior probability of the type"
            )
            self.connection_prior_ = _labelled(
                couplings.connectome, {**pair, **kind}, "1", "probability of the type that the states share"
            )
            known = np.isfinite(couplings.probability).all(axis=-1)
            best = np.where(known, np.nan_to_num(couplings.probability).argmax(axis=-1) - 1, 0)
            self.connection_ = _labelled(best.astype(np.int8), {**state, **pair}, "1", "most probable type")
        if couplings.shared is not None:
            self.shared_weight_ = _labelled(couplings.shared, pair, "1", "weight that the states share")
        self.prior_parameters_ = json.dumps(dataclasses.asdict(couplings.prior))

    def _store(
        self,
        sequences: CountSequences,
        layout: Layout,
        problem: Problem,
        run: Run,
        known: Uncertainty,
        together: np.ndarray,
        scale: np.ndarray,
    ) -> None:
        design, parameters = problem.design, run.parameters
        state, unit = np.arange(self.n_states), sequences.unit
        lag = sequences.bin_width * np.arange(1, layout.n_lags + 1)
        coupling, own = layout.coefficients(parameters.theta)
        filters, intercept = layout.filters(coupling, own), parameters.theta[:, 0].copy()
        unseen, error = design.n_observed == 0, known.weight_error.copy()
        for array in (filters, coupling, error):
            array[:, unseen] = np.nan
            array[:, :, unseen] = np.nan
        intercept[:, unseen] = np.nan
        # A unit that was never there with another stood in at its mean: a constant, so part of the intercept.
        apart = ~together & ~unseen & ~unseen[:, None]
        level = mean_count(sequences.counts)
        intercept += np.where(apart, np.nan_to_num(filters.sum(axis=-1)) * level, 0.0).sum(axis=2)
        for array in (filters, coupling, error):
            array[:, apart] = np.nan
        pair = {"state": state, "post": unit, "pre": unit}
        gain = "spike/bin per spike/bin" if self.link == "softplus" else "1"

        self.filter_ = _labelled(filters, {**pair, "lag": lag}, gain, "coupling filter")
        self.filter_["lag"].attrs["units"] = "s"
        self.weight_ = _labelled(filters.sum(axis=-1), pair, gain, "coupling filter summed over lags")
        self.weight_se_ = _labelled(error, pair, gain, "standard error of the summed filter")
        self.intercept_ = _labelled(intercept, {"state": state, "unit": unit}, "1", "intercept")
        self.transition_ = _labelled(
            parameters.transition, {"state": state, "state_2": state}, "1", "probability of state_2 after state"
        )
        self.initial_ = _labelled(parameters.initial, {"state": state}, "1", "probability of the first state")
        self.occupancy_ = _labelled(run.posterior.gamma.mean(axis=0), {"state": state}, "1", "expected part of bins")
        iteration = {"iteration": np.arange(len(run.objective))}
        self.log_likelihood_ = _labelled(np.array(run.log_likelihood), iteration, "nat", "log-likelihood")
        self.objective_ = _labelled(np.array(run.objective), iteration, "nat", "log-likelihood plus log-prior")
        # Half a spike and one bin are added: a unit silent in training may spike in held-out data.
        rate = np.where(unseen, np.nan, (design.n_spikes + 0.5) / (design.n_observed + 1.0))
        self.rate_ = _labelled(rate, {"unit": unit}, "1", "mean count per bin")
        self.mean_count_ = _labelled(level, {"unit": unit}, "1", "mean of the observed counts")
        shapes = np.arange(len(layout.basis))
        lags = lag[: layout.basis.shape[1]]
        self.basis_shape_ = _labelled(layout.basis, {"basis": shapes, "basis_lag": lags}, "1", "shape of filters")
        self.coefficient_ = _labelled(coupling, {**pair, "basis": shapes}, gain, "weight of each basis shape")
        if own is not None and layout.self_basis is not None:
            own[:, unseen] = np.nan
            shapes = np.arange(len(layout.self_basis))
            self.self_basis_shape_ = _labelled(
                layout.self_basis,
                {"self_basis": shapes, "self_lag": lag[: layout.self_basis.shape[1]]},
                "1",
                "basis of a unit's own past",
            )
            self.self_coefficient_ = _labelled(
                own, {"state": state, "unit": unit, "self_basis": shapes}, gain, "weight of each own-past shape"
            )
        # Without coordinates of the columns: `to_pymc` reads these arrays by position.
        for name, array in (("precision", problem.penalty.precision), ("centre", problem.penalty.centre)):
            values = np.broadcast_to(array, parameters.theta.shape).copy()
            values[:, layout.n_history :] *= (scale**2 if name == "precision" else 1.0 / scale)[:, None]
            labelled = xr.DataArray(values, dims=("state", "column", "unit"), coords={"state": state, "unit": unit})
            setattr(self, f"penalty_{name}_", labelled.assign_attrs(long_name=f"{name} of the Gaussian prior"))

    def _store_covariates(
        self, layout: Layout, problem: Problem, run: Run, known: Uncertainty, names: np.ndarray, scale: np.ndarray
    ) -> None:
        labels = {"state": self.intercept_["state"].values, "unit": self.intercept_["unit"].values, "covariate": names}
        unseen = problem.design.n_observed == 0
        for name, values, text in (
            ("covariate_weight_", run.parameters.theta, "weight of the covariate"),
            ("covariate_weight_se_", np.sqrt(known.variance), "standard error of the covariate's weight"),
        ):
            array = layout.covariates(values) / scale
            array[:, unseen] = np.nan
            setattr(self, name, _labelled(array, labels, "1", text))

    def _fitted_layout(self) -> Layout:
        own, covariate = vars(self).get("self_basis_shape_"), vars(self).get("covariate_weight_")
        return Layout(
            self.intercept_.sizes["unit"],
            self.basis_shape_.values,
            None if own is None else own.values,
            0 if covariate is None else covariate.sizes["covariate"],
        )

    def _theta(self) -> np.ndarray:
        own, covariate = vars(self).get("self_coefficient_"), vars(self).get("covariate_weight_")
        theta = self._fitted_layout().theta(
            self.intercept_.values,
            self.coefficient_.values,
            None if own is None else own.values,
            None if covariate is None else covariate.values,
        )
        return np.nan_to_num(theta)

    def _covariates(self, covariates: Covariates | None, sequences: CountSequences) -> np.ndarray | None:
        """Values (bin, covariate) of the covariates of the fit; None when it had none."""
        fitted = vars(self).get("covariate_weight_")
        if fitted is None:
            if covariates is not None:
                raise OptionError("no covariates, as in the fit", "covariates", "fit with covariates= to use them")
            return None
        names = fitted["covariate"].values
        if covariates is None:
            raise MissingOptionError(
                f"the covariates of the fit, {names.tolist()[:8]}", "none", "pass covariates= for these data"
            )
        return read_covariates(covariates, sequences, names)

    def _design(self, data: Counts, covariates: Covariates | None = None) -> tuple[CountSequences, Design]:
        """Design of new data, whose units, bins and covariates must be those of the fit."""
        self._require_fit()
        units = self.intercept_["unit"].values
        sequences = read_counts(data, unit=units, need_spikes=False, union=bool(self.sessions_differ_))
        if not np.isclose(sequences.bin_width, self.bin_width_, rtol=1e-6):
            raise RecordingError(
                f"bins of {self.bin_width_:g} s, as in the fit", f"{sequences.bin_width:g} s", "bin the data alike"
            )
        # Nothing is known of a unit that the fit never saw.
        sequences.counts[:, ~np.isfinite(self.rate_.values)] = -1
        values = self._covariates(covariates, sequences)
        return sequences, build_design(sequences, self._fitted_layout(), values, self.mean_count_.values)

    def _chain(self, design: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        log_likelihood = state_log_likelihood(design, self._theta(), LINKS[self.link])
        return log_likelihood, design.starts, self.initial_.values, self.transition_.values

    def _summary(self) -> list[tuple[str, str]]:
        occupancy = ", ".join(f"{share:.2f}" for share in self.occupancy_.values)
        stay = ", ".join(f"{p:.3f}" for p in np.diag(self.transition_.values))
        return [
            ("units", str(self.intercept_.sizes["unit"])),
            ("bin", f"{self.bin_width_:g} s"),
            ("occupancy of states", occupancy),
            ("probability of staying", stay),
            ("log-likelihood", f"{float(self.log_likelihood_[-1]):.6g} nat"),
            ("EM", f"{self.n_iter_} iterations, {'converged' if self.converged_ else 'not converged'}"),
        ]


def _standardised(design: Design, layout: Layout) -> np.ndarray:
    """Scale covariates to standard deviation 1, in place; their scales."""
    columns = design.columns[:, layout.n_history :]
    scale = columns.std(axis=0)
    scale[scale <= 1e-12 * np.abs(columns).max(axis=0, initial=0.0)] = 1.0
    columns /= scale
    return scale


def _units_of(data: Counts, sequences: CountSequences) -> list[np.ndarray]:
    """Which units each array of the data names."""
    arrays = [data] if isinstance(data, xr.DataArray) else list(data)
    ids = [array[dim].values for array in arrays for dim in ("unit", "roi") if dim in array.coords]
    return [np.isin(sequences.unit, one) for one in ids]


def _timed(counts: xr.DataArray, covariates: xr.DataArray | None) -> xr.DataArray:
    """Counts without times where the covariates have none either, to be matched one by one."""
    return counts if covariates is None or "time" in covariates.coords else counts.drop_vars("time")


def _labelled(values: np.ndarray, coords: dict[str, Any], units: str, long_name: str) -> xr.DataArray:
    return xr.DataArray(values, dims=tuple(coords), coords=coords, attrs={"units": units, "long_name": long_name})


def _short_run(
    problem: Problem, base: np.ndarray, n_states: int, index: int, rng: np.random.Generator, n_iter: int, tol: float
) -> Run:
    return advance(problem, begin(problem, start(problem, base, n_states, index, rng)), n_iter, tol)


def _all_runs(calls: list[tuple], n_jobs: int, progress: Progress) -> list[Run]:
    """Short runs from all starts, in order; each tells its log-likelihood when it is done."""
    progress.start(len(calls), "EM starts")
    if n_jobs != 1:
        runs = run_parallel(_short_run, calls, n_jobs)
        progress.update(len(runs), ", ".join(f"{run.log_likelihood[-1]:.6g}" for run in runs) + " nat")
        return runs
    runs, best = [], -np.inf
    for index, call in enumerate(calls):
        runs.append(_short_run(*call))
        best = max(best, runs[-1].log_likelihood[-1])
        progress.update(1, f"start {index + 1}: {runs[-1].log_likelihood[-1]:.6g} nat, best {best:.6g}")
    return runs


def _by_occupancy(run: Run) -> Run:
    """The run with its states in descending order of occupancy."""
    order = np.argsort(-run.posterior.gamma.sum(axis=0), kind="stable")
    parameters, posterior = run.parameters.permuted(order), run.posterior.permuted(order)
    return Run(parameters, posterior, run.log_likelihood, run.objective, run.converged)
