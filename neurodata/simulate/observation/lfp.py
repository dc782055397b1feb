"""Local field potential from the synaptic currents of a circuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata.containers.eeg import make_eeg
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import Stage, free_name, with_nodes
from neurodata.simulate.observation.currents import SOURCES, resampled, source_currents, weighted_sum, with_noise
from neurodata.simulate.truth import truth_of


@register
@dataclass(frozen=True)
class LFP(Stage):
    r"""Local field potential as the reference weighted sum of synaptic currents.

    .. math:: LFP(t) \propto \sum_i I_{AMPA}(t - 6\,\mathrm{ms}) - 1.65 \sum_i I_{GABA}(t)

    over the excitatory neurons i, with signed currents (so excitation and inhibition add up), zero mean and unit
    standard deviation, times `scale`. That fixed combination explains most of the LFP of a population of pyramidal
    cells [1]_; the two numbers were read in published analysis code of a network model that cites it. One time course
    per source: no depth profile, no volume conduction, and polarity and size are conventions.

    Parameters
    ----------
    sources : {"all", "population", "cluster"}
        One channel for all excitatory neurons, or one for each excitatory population or cluster of populations.
    scale : float
        Standard deviation of the signal without noise, V.
    sampling_rate : float
        Hz; divides the 1000 Hz at which currents are kept.
    snr : float or None
        Variance of the signal over that of the noise; None for no noise.
    noise_exponent : float
        The power of the noise falls as 1 / f to this power.

    References
    ----------
    .. [1] A. Mazzoni et al., "Computing the local field potential (LFP) from integrate-and-fire network models",
       PLoS Comput. Biol. 2015, doi:10.1371/journal.pcbi.1004584.

    Examples
    --------
    >>> from neurodata.simulate import LFP, observe, run, zoo
    >>> seen = observe(run(zoo.static(n=20, rng=0), 2.0, rng=0), [LFP(sampling_rate=500.0)], rng=0)
    >>> seen["eeg"]["signal"].shape, seen["eeg"]["ch_type"].values.tolist()
    ((997, 1), ['lfp'])
    """

    sources: str = "all"
    scale: float = 1e-4
    sampling_rate: float = 1000.0
    snr: float | None = 10.0
    noise_exponent: float = 1.0

    def __post_init__(self) -> None:
        self._require(self.sources in SOURCES, f"sources of {', '.join(SOURCES)}", "sources")
        for name in ("scale", "sampling_rate") + (("snr",) if self.snr is not None else ()):
            self._require_finite(name)
            self._require(getattr(self, name) > 0, f"a positive {name}", name)
        self._require_finite("noise_exponent")
        self._require(0 <= self.noise_exponent <= 4, "noise_exponent from 0 to 4", "noise_exponent")

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """A node `eeg` with channels of type lfp; see `Stage.apply`."""
        names, time, excitatory, inhibitory = source_currents(truth_of(rec), self.sources)
        time, signal = resampled(*weighted_sum(time, excitatory, inhibitory), self.sampling_rate)
        node = make_eeg(
            with_noise(self.scale * signal, self.snr, self.noise_exponent, rng),
            channel=[f"LFP {k + 1}" for k in range(len(names))],
            time=time,
            sampling_rate=self.sampling_rate,
            ch_type="lfp",
        )
        return with_nodes(rec, {free_name(rec, "eeg"): node})
