"""What is known of calcium indicators: kinetics, size and nonlinearity of their answer to spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

INDICATORS = ("GCaMP6f", "GCaMP6m", "GCaMP6s")
KINETICS = ("single_ap", "in_vivo")


@dataclass(frozen=True)
class Response:
    """dF/F of an indicator, with c the sum over spikes of a kernel of peak 1.

    The kernel is exp(-t / decay) - exp(-t / rise), over its peak. Linear: amplitude c. Logistic: the part of
    maximum / (1 + exp(-slope (c - centre))) above its value at c = 0.

    Attributes
    ----------
    rise, decay : float
        s.
    amplitude : float
        dF/F at the peak of the answer to one spike.
    maximum, slope, centre : float
        Of the logistic curve (dF/F, per spike, spikes); maximum 0 = linear.
    """

    rise: float
    decay: float
    amplitude: float
    maximum: float = 0.0
    slope: float = 1.0
    centre: float = 0.0


# Time to peak (s), half decay time after the peak (s) and peak dF/F of one action potential in mouse V1 layer 2/3.
# Chen et al. 2013, Supplementary Table 3, from memory: that table could not be read again. What could be confirmed in
# the paper's text is the order of the rise: 50-75 ms (6f), 75-100 ms (6m), 100-150 ms (6s).
SINGLE_AP = {"GCaMP6f": (0.045, 0.142, 0.19), "GCaMP6m": (0.080, 0.270, 0.13), "GCaMP6s": (0.179, 0.550, 0.23)}

# Rise (s), decay (s), maximum (dF/F), centre (spikes) and slope (1/spike) of the model that Zhang et al. 2023
# fitted to simultaneous recordings (Fig. 5; Wei et al. 2020), as tabulated in the simulator cleo for AAV expression.
# There the kernel is (1 - exp(-t / rise)) exp(-t / decay), not over its peak; `response` converts. No fit for 6m was
# found: geometric means of 6f and 6s, whose decay of 1.08 s agrees with the 1.0 s that suite2p recommends.
IN_VIVO = {
    "GCaMP6f": (0.00998, 0.68258, 1.905, 3.197, 1.410),
    "GCaMP6m": (0.02252, 1.07792, 2.520, 3.169, 1.370),
    "GCaMP6s": (0.05081, 1.70221, 3.334, 3.142, 1.332),
}

# Decay constants that suite2p recommends for deconvolution (settings `tau`: 0.7, 1.0, 1.25-1.5 s).
DECONVOLUTION_DECAY = {"GCaMP6f": 0.7, "GCaMP6m": 1.0, "GCaMP6s": 1.25}


def response(indicator: str, kinetics: str) -> Response:
    """The answer of an indicator to spikes.

    Examples
    --------
    >>> fast = response("GCaMP6f", "single_ap")
    >>> round(fast.rise, 4), round(fast.decay, 3), fast.amplitude
    (0.0175, 0.178, 0.19)
    """
    if kinetics == "single_ap":
        peak, half, amplitude = SINGLE_AP[indicator]
        rise, decay = time_constants(peak, half)
        return Response(rise, decay, amplitude)
    tau_rise, decay, maximum, centre, slope = IN_VIVO[indicator]
    # (1 - exp(-t/a)) exp(-t/b) = exp(-t/b) - exp(-t (1/a + 1/b)).
    rise = 1.0 / (1.0 / tau_rise + 1.0 / decay)
    height = kernel_peak(rise, decay)
    # In units of kernels of peak 1.
    slope, centre = slope * height, centre / height
    one = maximum * (_logistic(slope * (1.0 - centre)) - _logistic(-slope * centre))
    return Response(rise, decay, one, maximum, slope, centre)


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def kernel_peak(rise: float, decay: float) -> float:
    """Peak of exp(-t / decay) - exp(-t / rise)."""
    at = peak_time(rise, decay)
    return math.exp(-at / decay) - math.exp(-at / rise)


def peak_time(rise: float, decay: float) -> float:
    """When the kernel is largest, s."""
    return rise * decay / (decay - rise) * math.log(decay / rise)


def time_constants(peak: float, half: float) -> tuple[float, float]:
    """Rise and decay constants of a kernel from its time to peak and its half decay time after the peak, s.

    Examples
    --------
    >>> [round(x, 3) for x in time_constants(0.179, 0.550)]
    [0.071, 0.686]
    """
    from scipy.optimize import brentq

    def rise_for(decay: float) -> float:
        # The peak time grows with the rise constant, up to `decay` itself when both are equal.
        return brentq(lambda r: peak_time(r, decay) - peak, 1e-6 * peak, decay * (1 - 1e-9))

    def left(decay: float) -> float:
        rise = rise_for(decay)
        end = peak + half
        return (math.exp(-end / decay) - math.exp(-end / rise)) / kernel_peak(rise, decay) - 0.5

    decay = brentq(left, peak * (1 + 1e-6), 10.0 * (half + peak))
    return rise_for(decay), decay


def fluorescence(c: np.ndarray, about: Response, hill: float | None, half: float, supralinearity: float) -> np.ndarray:
    """dF/F from the sum of kernels of peak 1.

    Parameters
    ----------
    c : array
        In single spikes. Overwritten.
    about : Response
    hill : float or None
        Exponent of a Hill curve instead of what `about` says.
    half : float
        Where the Hill curve is at half of its maximum, spikes.
    supralinearity : float
        c becomes c + supralinearity (c^2 - c) first.
    """
    if supralinearity:
        c = c + supralinearity * (c * c - c)
    if hill is not None:
        power = np.maximum(c, 0.0) ** hill
        return about.amplitude * (1.0 + half**hill) * power / (power + half**hill)
    if about.maximum == 0.0:
        return about.amplitude * c
    floor = _logistic(-about.slope * about.centre)
    return about.maximum * (1.0 / (1.0 + np.exp(-about.slope * (c - about.centre))) - floor)
