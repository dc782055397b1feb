"""Calcium imaging: fluorescence of ROIs from spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from neurodata.containers.calcium import make_calcium
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.observation_nb import filter_spikes
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import (
    Stage,
    applied,
    per_unit_facts,
    retold,
    spikes_of,
    support_of,
    with_nodes,
)
from neurodata.simulate.observation.indicators import INDICATORS, KINETICS, fluorescence, kernel_peak, response
from neurodata.simulate.truth import truth_of

# Median of abs(x - y) for independent normal x, y of unit variance: sqrt(2) Phi^-1(3/4).
MEDIAN_DIFFERENCE = 0.9538725524
F0_QUANTILE = 0.08  # as `nd.preprocess.delta_f_over_f` finds F0
_NEUROPIL_NOISE = 0.2  # of the noise of an ROI: the surround has many more pixels
_NEUROPIL_TIME = 1.0  # s, of what is private to the surround of one ROI
_CALIBRATION_FRAMES = 4000


@register
@dataclass(frozen=True)
class Calcium(Stage):
    r"""Two-photon fluorescence of a genetically encoded indicator.

    Spikes at their exact times are filtered with :math:`e^{-t/\tau_d} - e^{-t/\tau_r}` (peak 1; evaluated at the
    frames, no bins), pass a nonlinearity, and make

    .. math:: F = B(t)\,F_0\,(1 + \Delta F/F_0 + \epsilon) + r\,N(t)

    with bleaching B, white noise :math:`\epsilon` and neuropil N, which is given beside F as suite2p does.

    Parameters
    ----------
    indicator : {"GCaMP6f", "GCaMP6m", "GCaMP6s"}
    kinetics : {"single_ap", "in_vivo"}
        single_ap: linear, with time to peak, half decay and amplitude of the answer to one isolated spike [1]_
        (6f: 45 ms, 142 ms, 19 %; 6m: 80, 270, 13 %; 6s: 179, 550, 23 %. From memory of the paper's table; of these
        only the order of the rise times could be checked). in_vivo: slower decays (6f 0.68 s, 6s 1.70 s) behind a
        logistic curve, as fitted to simultaneous recordings of spikes and fluorescence [2]_ [3]_; no fit for 6m was
        found, it has the geometric mean of the two.
    frame_rate : float
        Hz. Frames begin with the recording.
    noise_level : float
        As CASCADE defines it [4]_: the median of abs(dF/F(t + 1) - dF/F(t)) over the square root of the frame rate,
        in %/sqrt(Hz), of a ROI without spikes. About 1 is very good, 3-4 decent, above 5 poor (README of CASCADE).
        dF/F is meant as labs compute it, with F0 a low quantile (8 %, the default of `delta_f_over_f`) of the noisy
        trace; about a resting F0 (baseline "maximin") 2 measures as 1.8. Spikes add to what is measured in the end:
        with a linear 6f and level 2, 1 % at 1 Hz and 8 % at 17 Hz of spikes with 30 frames per second, but 23 % at
        1 Hz with 7.5 frames.
    neuropil : float
        r, the share of the neuropil signal that is in the ROI.
    neuropil_level : float
        Mean of N over F0.
    neuropil_change : float
        Standard deviation of N over its mean; 64 % of the variance is the mean activity of all units recorded, the
        rest private and slow.
    bleaching : float
        Share of the fluorescence that is gone at the end of the recording (exponential).
    hill : float, optional
        Exponent n of :math:`c^n / (c^n + K^n)` instead of the curve of the preset, scaled so that one spike keeps its
        amplitude. Values read in code: 2.7 (6f) and 2.45 (6s) in the simulator NAOMi [5]_, 2.2 with K = 11.6 spikes
        for 6s [3]_. 1 with a large K is linear.
    half_saturation : float
        K, in peaks of single spikes; with `hill` only.
    supralinearity : float
        0 to 1: c becomes c + s (c^2 - c) before anything else, so that pairs of spikes count more than twice [6]_.
    rise, decay : float, optional
        :math:`\tau_r, \tau_d` instead of those of the preset, s.
    brightness : float
        Median F0, a.u.
    spread : float
        Standard deviation over ROIs of log F0 and of the log amplitude.
    warm : bool
        Begin where the mean rate of each unit holds the indicator, rather than dark.
    keep_spikes : bool
        Leave `spikes` in the recording. The truth does not need them.

    Notes
    -----
    `/truth` then has, per unit: `baseline_fluorescence` (F0, a.u.), `amplitude` (dF/F of one spike), `noise_sd` (a.u.).

    References
    ----------
    .. [1] T.-W. Chen et al., "Ultrasensitive fluorescent proteins for imaging neuronal activity", Nature 2013,
       doi:10.1038/nature12354.
    .. [2] Y. Zhang et al., "Fast and sensitive GCaMP calcium indicators for imaging neural populations", Nature 2023,
       doi:10.1038/s41586-023-05828-9.
    .. [3] Z. Wei et al., "A comparison of neuronal population dynamics measured with calcium imaging and
       electrophysiology", PLoS Comput. Biol. 2020, doi:10.1371/journal.pcbi.1008198.
    .. [4] P. Rupprecht et al., "A database and deep learning toolbox for noise-optimized, generalized spike inference
       from calcium imaging", Nat. Neurosci. 2021, doi:10.1038/s41593-021-00895-5.
    .. [5] A. Song et al., "Neural anatomy and optical microscopy (NAOMi) simulation for evaluating calcium imaging
       methods", J. Neurosci. Methods 2021, doi:10.1016/j.jneumeth.2021.109173.
    .. [6] T. Deneux et al., "Accurate spike estimation from noisy calcium signals for ultrafast three-dimensional
       imaging of large neuronal populations in vivo", Nat. Commun. 2016, doi:10.1038/ncomms12190.

    Examples
    --------
    >>> from neurodata.simulate import Calcium, observe, run, zoo
    >>> seen = observe(run(zoo.null(n=5, rng=0), 2.0, rng=0), [Calcium(noise_level=1.0)], rng=0)
    >>> sorted(map(str, seen["calcium"].data_vars)), "spikes" in seen.children
    (['fluorescence', 'neuropil'], False)
    """

    indicator: str = "GCaMP6f"
    kinetics: str = "single_ap"
    frame_rate: float = 30.0
    noise_level: float = 2.0
    neuropil: float = 0.7
    neuropil_level: float = 0.5
    neuropil_change: float = 0.1
    bleaching: float = 0.05
    hill: float | None = None
    half_saturation: float = 11.6
    supralinearity: float = 0.0
    rise: float | None = None
    decay: float | None = None
    brightness: float = 500.0
    spread: float = 0.3
    warm: bool = True
    keep_spikes: bool = False

    once: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._require(self.indicator in INDICATORS, f"indicator of {', '.join(INDICATORS)}", "indicator")
        self._require(self.kinetics in KINETICS, f"kinetics of {', '.join(KINETICS)}", "kinetics")
        for name in ("frame_rate", "half_saturation", "brightness"):
            self._require_finite(name)
            self._require(getattr(self, name) > 0, f"a positive {name}", name)
        for name in ("noise_level", "neuropil", "neuropil_level", "neuropil_change", "spread"):
            self._require_finite(name)
            self._require(getattr(self, name) >= 0, f"{name} of 0 or more", name)
        self._require_share("bleaching")
        self._require_finite("supralinearity")
        self._require(0 <= self.supralinearity <= 1, "supralinearity from 0 to 1", "supralinearity")
        for name in ("hill", "rise", "decay"):
            if getattr(self, name) is not None:
                self._require_finite(name)
                self._require(getattr(self, name) > 0, f"a positive {name}", name)
        rise, decay = self.time_constants
        if rise >= decay:
            raise OptionError(
                "a rise shorter than the decay", f"rise {rise:g} s, decay {decay:g} s", "pass rise=, decay="
            )

    @property
    def time_constants(self) -> tuple[float, float]:
        """Rise and decay constants in use, s."""
        preset = response(self.indicator, self.kinetics)
        return self.rise or preset.rise, self.decay or preset.decay

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """Fluorescence instead of spikes; see `Stage.apply`."""
        if "Sorting" in applied(rec):
            raise OptionError(
                "spikes as they were, to image", "spikes that went through Sorting", "use Calcium or Sorting, not both"
            )
        spikes = spikes_of(rec, self)
        support = support_of(spikes)
        time = np.concatenate(
            [a + np.arange(int((b - a) * self.frame_rate + 1e-6)) / self.frame_rate for a, b in support]
        )
        if time.size < 2:
            raise RecordingError(
                "a recording of two frames or more",
                f"{np.diff(support).sum():g} s at {self.frame_rate:g} Hz",
                "record longer",
            )
        cell_rng, noise_rng, neuropil_rng = rng.spawn(3)
        n_units = spikes.sizes["unit"]
        clean = self._clean(spikes, time, float(np.diff(support).sum()))
        activity = clean.mean(axis=1)
        scale = np.exp(self.spread * cell_rng.standard_normal((2, n_units)))
        base = self.brightness * scale[0]
        clean = 1.0 + scale[1] * clean
        noise = noise_rng.standard_normal(clean.shape)
        relative = self.noise_level / 100.0 * np.sqrt(self.frame_rate) / MEDIAN_DIFFERENCE
        sd = _noise_scale(clean, noise, relative)
        cell = base * (clean + sd * noise)
        surround = self._surround(activity, time, base, base * sd, neuropil_rng)
        seconds = time - time[0]
        kept = (1.0 - self.bleaching) ** (seconds / max(seconds[-1], 1e-12))
        node = make_calcium(
            (kept[:, None] * (cell + self.neuropil * surround)).astype(np.float32),
            neuropil=(kept[:, None] * surround).astype(np.float32),
            time=time,
            sampling_rate=self.frame_rate,
            roi=spikes["unit"].values,
            attrs={"indicator": self.indicator},
        )
        truth = truth_of(rec)
        facts = per_unit_facts(truth, np.arange(n_units)) | {
            "baseline_fluorescence": base,
            "amplitude": scale[1] * response(self.indicator, self.kinetics).amplitude,
            "noise_sd": base * sd,
        }
        changed: dict[str, xr.Dataset | None] = {
            "calcium": node,
            "truth": retold(truth, truth["unit"].values, truth["unit_neuron"].values, **facts),
        }
        if not self.keep_spikes:
            changed["spikes"] = None
        return with_nodes(rec, changed)

    def _clean(self, spikes: xr.Dataset, time: np.ndarray, duration: float) -> np.ndarray:
        """dF/F without noise, (time, unit)."""
        rise, decay = self.time_constants
        count = spikes["spike_count"].values
        out = np.empty((time.size, count.size))
        first = np.concatenate(([0], np.cumsum(count))).astype(np.int64)
        rate = count / duration if self.warm else np.zeros(count.size)
        filter_spikes(spikes["spike_time"].values, first, time, rise, decay, rate.astype(np.float64), out)
        out /= kernel_peak(rise, decay)
        about = response(self.indicator, self.kinetics)
        return fluorescence(out, about, self.hill, self.half_saturation, self.supralinearity)

    def _surround(
        self, activity: np.ndarray, time: np.ndarray, base: np.ndarray, noise_sd: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Neuropil around each ROI, (time, unit), a.u."""
        from scipy.signal import lfilter

        shape = (time.size, base.size)
        keep = np.exp(-1.0 / (self.frame_rate * _NEUROPIL_TIME))
        private = rng.standard_normal(shape)
        private[1:] *= np.sqrt(1.0 - keep**2)
        private = lfilter([1.0], [1.0, -keep], private, axis=0)
        spread = activity.std()
        shared = (activity - activity.mean()) / spread if spread > 0 else np.zeros(time.size)
        change = self.neuropil_change * (0.8 * shared[:, None] + 0.6 * private)
        return self.neuropil_level * base * (1.0 + change) + _NEUROPIL_NOISE * noise_sd * rng.standard_normal(shape)


def _noise_scale(clean: np.ndarray, noise: np.ndarray, relative: float) -> np.ndarray:
    """Standard deviation of the noise of each ROI over F0 so that it is `relative` in dF/F as a lab computes it.

    The F0 of a lab, a low quantile of the noisy trace, depends on the noise itself: solved by bisection.
    """
    some = np.linspace(0, clean.shape[0] - 1, min(clean.shape[0], _CALIBRATION_FRAMES)).astype(int)
    clean, noise = clean[some], noise[some]
    low, high = np.zeros(clean.shape[1]), np.quantile(clean, F0_QUANTILE, axis=0)
    for _ in range(20):
        middle = 0.5 * (low + high)
        above = np.quantile(clean + relative * middle * noise, F0_QUANTILE, axis=0) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return relative * 0.5 * (low + high)
