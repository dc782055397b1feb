"""A simulated circuit that looks like a recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import one_thread, run_parallel
from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit
from neurodata.simulate.observation.base import Stage
from neurodata.validate._pieces import Counted, Trains, gather, some_units, windows, windows_of
from neurodata.validate._recorded import Binned, Recorded
from neurodata.validate._search import STEPS, Bench, Goal, search
from neurodata.validate._target import SCALES, as_log_rates, private_sd, shared_loadings
from neurodata.validate._twin import Knobs, lay_out
from neurodata.validate.statistics import DESCRIPTION, GIVEN, per_unit, read, recording_statistics, summarise

# Within this part of the recording's value a statistic counts as matched.
TOLERANCE = 0.2
# Recorded neurons of a twin, at most.
MOST_UNITS = 400
# Beside the recorded neurons as many more that nobody sees, but at most `MOST_HIDDEN`, and `FEWEST_NEURONS` in all.
MOST_HIDDEN, FEWEST_NEURONS = 60, 40
# Neurons times seconds of one simulation of the search and of the check, and its length, s.
SEARCH_WORK, LONGEST_SEARCH, SHORTEST_SEARCH = 32_000.0, 600.0, 60.0
CHECK_WORK = 200_000.0


@dataclass(frozen=True, eq=False)
class Match:
    """A twin of a recording: a circuit with known truth, and how far its statistics are from the recording's.

    Attributes
    ----------
    circuit : Circuit
    stages : tuple of Stage
        What makes of its neurons the units of the recording.
    duration : float
        Recorded time, s.
    table : Dataset
        By `statistic`: `recording`, its sampling `error`, `twin` (mean of fresh simulations), `twin_sd` (between
        them), `relative` difference, `within` (the relative difference is at most 20 %), `uncertain` (the sampling
        error of the recording is above 20 %), `judged` (as `within`, but an uncertain statistic may differ by its
        sampling error, and a part of units by one unit), `given` (true by construction).
    knobs : dict
        What was turned, by name.
    course : tuple of float
        Root mean square misfit by round of the search.
    """

    circuit: Circuit
    stages: tuple[Stage, ...]
    duration: float
    table: xr.Dataset
    knobs: dict[str, float]
    course: tuple[float, ...]
    _bench: Bench = field(repr=False)
    _offset: np.ndarray = field(repr=False)

    @property
    def score(self) -> float:
        """Part of the statistics (those that can be compared and are not given) within 20 %."""
        compared = self.table["within"].values[self.compared]
        return float(compared.mean()) if compared.size else float("nan")

    @property
    def compared(self) -> np.ndarray:
        """Which statistics can be compared, (statistic,): known of the recording, and not given."""
        return np.isfinite(self.table["recording"].values) & ~self.table["given"].values

    @property
    def missed(self) -> list[str]:
        """Names of the statistics that are off by more than 20 %."""
        off = self.compared & ~self.table["within"].values
        return [str(name) for name in self.table["statistic"].values[off]]

    def twin(self, *, seed: int | None = None, epsp: float | None = None, n_rounds: int = 2) -> Circuit:
        """The circuit with another graph, or other synapses, and the rates of its neurons corrected for that.

        Parameters
        ----------
        seed : int, optional
            Of the graph; default that of `circuit`.
        epsp : float, optional
            Median EPSP, mV; default that of the match.
        n_rounds : int
            Simulations to correct the rates with.
        """
        bench = self._bench.varied(epsp=epsp, seed=seed)
        knobs, offset = Knobs(**self.knobs), self._offset
        for stream in range(n_rounds):
            _, count = bench.measure(knobs, offset, 500 + stream)
            offset = bench.corrected(knobs, offset, count, 0.7)
        return bench.circuit(knobs, offset)

    def simulate(
        self, circuit: Circuit | None = None, *, duration: float | None = None, rng: RNGLike = None
    ) -> xr.DataTree:
        """A recording of the twin, with `/truth`; its unit k stands for the k-th unit that was matched.

        Parameters
        ----------
        circuit : Circuit, optional
            One that `twin` gave; default `circuit`.
        duration : float, optional
            s; default as long as the recording.
        rng : int, Generator or None
        """
        from neurodata.simulate.observation import observe
        from neurodata.simulate.run import run

        run_rng, see_rng = generator(rng).spawn(2)
        rec = run(self.circuit if circuit is None else circuit, duration or self.duration, rng=run_rng)
        return observe(rec, self.stages, rng=see_rng)

    def to_dataset(self) -> xr.Dataset:
        """The table, with the circuit (JSON) and the knobs in its attrs."""
        return self.table.assign_attrs(circuit=self.circuit.to_json(), circuit_hash=self.circuit.content_hash)

    def __repr__(self) -> str:
        from neurodata.validate.verdict import match_text

        return match_text(self)


def match(
    rec: Any,
    *,
    epsp: float = 0.24,
    max_units: int = MOST_UNITS,
    n_rounds: int = 6,
    n_checks: int = 3,
    rng: RNGLike = None,
    n_jobs: int = 1,
    progress: bool | Progress = False,
) -> Match:
    """Find a circuit whose recording has the statistics of this one.

    Parameters
    ----------
    rec : DataTree, Dataset or DataArray
        A recording with spikes, or with counts; that node; or counts (time, unit).
    epsp : float
        Median EPSP, mV. No recording tells it; `trust` tries several.
    max_units : int
        Units of the twin, at most; of more units a random sample is matched.
    n_rounds : int
        Of the search.
    n_checks : int
        Fresh simulations, of which nothing was used in the search, that the table is measured on.
    rng : int, Generator or None
    n_jobs : int
    progress : bool or Progress

    Returns
    -------
    Match
        Its `table` says how far each statistic is off; nothing is hidden when the twin does not match.

    Raises
    ------
    RecordingError
        A recording that is too short (see `recording_statistics`), or without spikes.

    Notes
    -----
    The twin consists of LIF neurons, one for each unit, and of as many that are not recorded (60 at most, 40 neurons in
    all at least). A fifth is inhibitory. Any two are connected with probability 0.1, with log-normal weights around
    `epsp` (inhibitory: 4 times that) and delays of 1 to 4 ms, as in `nd.simulate.zoo.static`. Each neuron has a bias,
    fast noise by background spikes and a slow fluctuation of its own, and loadings on shared drives of three time
    scales (10 ms, 100 ms and seconds).

    Rates are matched neuron by neuron: the bias comes from a measured rate-over-bias curve and is corrected by what all
    simulations near the present knobs say. Loadings start from a factor analysis of the units' count covariances (their
    growth with the width of the bins tells the time scales apart), private fluctuation from the Fano factors. Eleven
    common knobs are then turned: the reset voltage and the fast noise (bursts or regular spikes), strength and time
    scale of the private fluctuation, time scale of the slow drives, and strength and common part of the shared drives
    of each scale. A round of the search is twelve simulations, in which all knobs are up or down at once; the slopes of
    the statistics are a regression over all rounds, and the next round is where their squared misfits are smallest.

    Simulations of the search last at most 600 s, and 32 000 s over the number of neurons, at least 60 s; those of the
    check 200 000 s over the number of neurons. Where the recording is longer than those of the check, its statistics
    are means over windows of that length; the search aims at the same. The time step is 0.5 ms.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.simulate.run(nd.simulate.zoo.static(n=10, rng=0), 40.0, rng=0)
    >>> twin = nd.validate.match(rec, n_rounds=1, n_checks=1, rng=0)
    >>> twin.simulate(duration=1.0, rng=0)["spikes"].sizes["unit"]
    10
    """
    if not epsp >= 0:
        raise OptionError("an EPSP of 0 mV or more", f"{epsp!r}", "pass epsp=")
    if max_units < 2 or n_rounds < 1 or n_checks < 1:
        raise OptionError("max_units of 2 or more, n_rounds and n_checks of 1 or more", "less", "pass larger ones")
    rng = generator(rng)
    bar = as_progress(progress)
    data = read(rec)
    statistics = recording_statistics(rec)
    chosen = np.arange(len(data.unit))
    if chosen.size > max_units:
        chosen = np.sort(rng.choice(chosen.size, max_units, replace=False))
        data = some_units(data, chosen)
        statistics = recording_statistics(_as_input(rec, chosen))
    shape = windows(None if isinstance(data, Trains) else data.bin_width)
    duration = float(statistics["value"].sel(statistic="duration"))
    bench = _bench(data, shape, statistics, duration, epsp, rng)
    try:
        bar.start(n_rounds + 3, "match")
        with one_thread():
            checked = bench.lasting(_check_seconds(duration, bench.seconds, bench.neurons.rate.size))
            found = search(
                bench, Knobs(), checked, n_rounds=n_rounds, n_jobs=n_jobs, update=lambda note: bar.update(1, note)
            )
            bar.update(1, "check")
            calls = [(found.knobs, found.offset, 10_000 + k) for k in range(n_checks)]
            fresh = [values for values, _ in run_parallel(checked.measure, calls, n_jobs)]
    finally:
        bar.close()
    stages: list[Stage] = [Recorded(bench.neurons.recorded)]
    if isinstance(data, Counted):
        stages.append(Binned(data.bin_width))
    table = _table(_means(data, shape, checked.seconds), statistics, fresh, checked.seconds)
    table.attrs |= {"unit": [str(unit) for unit in data.unit], "n_units_recorded": len(read(rec).unit)}
    return Match(
        circuit=bench.circuit(found.knobs, found.offset),
        stages=tuple(stages),
        duration=duration,
        table=table,
        knobs={name: getattr(found.knobs, name) for name in STEPS},
        course=tuple(found.course),
        _bench=bench,
        _offset=found.offset,
    )


def _as_input(rec: Any, chosen: np.ndarray) -> Any:
    """The recording with some units only, as something that `recording_statistics` takes."""
    return some_units(read(rec), chosen)


def _bench(
    data: Trains | Counted,
    shape: Any,
    statistics: xr.Dataset,
    duration: float,
    epsp: float,
    rng: np.random.Generator,
) -> Bench:
    pieces = gather(data, shape)
    unit = per_unit(pieces)
    slow = SCALES["slow"]
    shared = shared_loadings(pieces, unit, slow, rng)
    shared, private = as_log_rates(shared, private_sd(pieces, unit, shared, SCALES))
    n = unit.rate.size
    n_hidden = max(FEWEST_NEURONS - n, min(n, MOST_HIDDEN))
    # A silent unit might have fired now and then: a fifth of a spike is expected of it.
    neurons = lay_out(np.maximum(unit.rate, 0.2 / duration), private, shared, n_hidden, rng)
    work = max(SHORTEST_SEARCH, SEARCH_WORK / neurons.rate.size)
    seconds = min(duration, LONGEST_SEARCH, work)
    # The statistics that the check compares: in short windows a recording that wanders has others.
    value = _means(data, shape, _check_seconds(duration, seconds, neurons.rate.size))
    error = dict(zip(statistics["statistic"].values.tolist(), statistics["error"].values, strict=True))
    names = [name for name in DESCRIPTION if name not in GIVEN and np.isfinite(value[name])]
    # Rates are matched neuron by neuron, not by the knobs.
    errors = {name: float(np.nan_to_num(error[name])) for name in names if not name.startswith(("rate_", "silent_"))}
    goal = Goal({name: value[name] for name in names}, errors)
    return Bench(
        neurons, shape, goal, seconds, epsp, int(rng.integers(2**31)), float(np.clip(duration / 30.0, 1.0, 8.0))
    )


def _check_seconds(duration: float, seconds: float, n_neurons: int) -> float:
    """Length of a simulation of the check; those of the search last `seconds`."""
    return min(duration, max(seconds, CHECK_WORK / n_neurons))


def _means(data: Trains | Counted, shape: Any, seconds: float) -> dict[str, float]:
    """Statistics of the recording, where it is longer than `seconds` their means over windows of that length."""
    parts = [summarise(gather(part, shape, 1)) for part in windows_of(data, seconds)]
    out = {}
    for name in DESCRIPTION:
        values = np.array([part[name] for part in parts])
        values = values[np.isfinite(values)]
        out[name] = float(values.mean()) if values.size else np.nan
    return out


def _table(
    recorded: dict[str, float], statistics: xr.Dataset, fresh: list[dict[str, float]], seconds: float
) -> xr.Dataset:
    names = list(DESCRIPTION)
    value = np.array([recorded[name] for name in names])
    error = statistics["error"].values
    twin = np.array([[values[name] for values in fresh] for name in names])
    given = np.isin(names, GIVEN)
    value[names.index("duration")] = float(statistics["value"].sel(statistic="duration"))
    twin[names.index("duration")] = value[names.index("duration")]
    mean = twin.mean(axis=1)
    difference = mean - value
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0, 0.0, difference / np.abs(value))
    within = np.abs(difference) <= TOLERANCE * np.abs(value)
    tolerance = np.maximum(TOLERANCE * np.abs(value), error)
    tolerance[names.index("silent_fraction")] = max(
        tolerance[names.index("silent_fraction")], 1.0 / recorded["n_units"]
    )
    return xr.Dataset(
        {
            "recording": ("statistic", value),
            "error": ("statistic", error),
            "twin": ("statistic", mean),
            "twin_sd": ("statistic", twin.std(axis=1, ddof=1) if twin.shape[1] > 1 else np.full(len(names), np.nan)),
            "twins": (("statistic", "check"), twin),
            "relative": ("statistic", relative),
            "within": ("statistic", within),
            "uncertain": ("statistic", error > TOLERANCE * np.abs(value)),
            "judged": ("statistic", np.abs(difference) <= tolerance),
            "given": ("statistic", given),
            "units": ("statistic", statistics["units"].values),
            "about": ("statistic", statistics["about"].values),
        },
        coords={"statistic": names},
        attrs={"window": seconds, "kind": statistics.attrs["kind"], "unavailable": statistics.attrs["unavailable"]},
    )
