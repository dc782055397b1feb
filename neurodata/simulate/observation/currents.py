"""From the synaptic currents in `/truth` to signals of populations: what LFP and EEG are made of."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError

# Reference weighted sum (Mazzoni et al. 2015, doi 10.1371/journal.pcbi.1004584): delay of the excitatory currents (s)
# and weight of the inhibitory ones. Read in the analysis code of a later study of the same network model, where both
# currents are signed (inhibition negative): AMPA(t - 6 ms) - 1.65 GABA(t). So both add up with one sign.
EXCITATORY_DELAY = 0.006
INHIBITORY_WEIGHT = 1.65

SOURCES = ("all", "population", "cluster")


def source_currents(truth: xr.Dataset, by: str) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Currents into excitatory neurons, summed over sources.

    Parameters
    ----------
    truth : Dataset
    by : {"all", "population", "cluster"}
        What a source is: all excitatory neurons, each population of them, or populations of one cluster together.

    Returns
    -------
    names : list of str
    time : array (sample,)
        s.
    excitatory, inhibitory : array (sample, source)
        mV; inhibition is negative.
    """
    if "current_e" not in truth or "current_i" not in truth:
        raise RecordingError(
            "a truth with current_e and current_i (time, population)",
            "none (not every engine keeps them)",
            "simulate with engine='numba'",
        )
    populations = truth["current_population"].values.astype(str)
    of_neuron = truth["population"].values.astype(str)
    excites = [bool((truth["sign"].values[of_neuron == name] > 0).all()) for name in populations]
    chosen = [i for i, yes in enumerate(excites) if yes]
    if not chosen:
        raise OptionError(
            "an excitatory population: LFP and EEG come from pyramidal cells", "none", "use another circuit"
        )
    groups: dict[str, list[int]] = {}
    for i in chosen:
        if by == "all":
            groups.setdefault("all", []).append(i)
        elif by == "population":
            groups[str(populations[i])] = [i]
        else:
            cluster = np.unique(truth["cluster"].values[of_neuron == populations[i]])
            if cluster.size != 1:
                raise OptionError(
                    "populations of one cluster each",
                    f"population {str(populations[i])!r} with clusters {cluster.tolist()}",
                    "pass sources='population'",
                )
            groups.setdefault(f"cluster {cluster[0]}", []).append(i)
    time = truth["current_time"].values.astype(np.float64)
    both = [truth[name].values.astype(np.float64) for name in ("current_e", "current_i")]
    excitatory, inhibitory = (
        np.stack([values[:, columns].sum(axis=1) for columns in groups.values()], axis=1) for values in both
    )
    return list(groups), time, excitatory, inhibitory


def weighted_sum(time: np.ndarray, excitatory: np.ndarray, inhibitory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reference weighted sum of each source, zero mean and unit standard deviation: times and (sample, source).

    The first 6 ms, whose past is not known, are left out. A source without any current is 0.
    """
    step = float(np.median(np.diff(time))) if time.size > 1 else EXCITATORY_DELAY
    delay = max(1, round(EXCITATORY_DELAY / step))
    if time.size <= delay + 1:
        raise RecordingError("currents of more than 6 ms", f"{time.size} samples", "record longer")
    lfp = excitatory[:-delay] - INHIBITORY_WEIGHT * inhibitory[delay:]
    lfp = lfp - lfp.mean(axis=0)
    spread = lfp.std(axis=0)
    return time[delay:], np.divide(lfp, spread, out=np.zeros_like(lfp), where=spread > 0)


def resampled(time: np.ndarray, values: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Values (sample, ...) at a lower rate (Hz) that divides the present one, after an anti-aliasing filter."""
    from neurodata.kernels.resampling import polyphase

    present = 1.0 / float(np.median(np.diff(time)))
    down = round(present / rate)
    if down < 1 or abs(present / rate / down - 1) > 1e-6:
        allowed = ", ".join(f"{present / k:g}" for k in (1, 2, 4, 5))
        raise OptionError(
            f"a sampling_rate that divides {present:g} Hz ({allowed}, ...)", f"{rate:g} Hz", "pass another"
        )
    if down == 1:
        return time, values
    kept = time[::down]
    flat = polyphase(values.T, 1, down, [kept.size], [slice(0, time.size)])
    return kept, flat.T


def coloured_noise(n: int, m: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Noise (n, m) with a power spectrum as 1 / f ** exponent, zero mean, unit standard deviation in expectation."""
    frequency = np.arange(n // 2 + 1, dtype=np.float64)
    frequency[0] = np.inf  # no power at 0 Hz
    gain = frequency ** (-exponent / 2.0)
    spectrum = gain[:, None] * (rng.standard_normal((gain.size, m)) + 1j * rng.standard_normal((gain.size, m)))
    # Each frequency but 0 and half the sampling rate comes twice.
    twice = np.full(gain.size, 2.0)
    if n % 2 == 0:
        twice[-1] = 1.0
        spectrum[-1] = np.sqrt(2.0) * spectrum[-1].real
    power = 2.0 * (twice * gain**2).sum() / n**2
    return np.fft.irfft(spectrum, n=n, axis=0) / np.sqrt(power)


def with_noise(signal: np.ndarray, snr: float | None, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Signal (sample, channel) plus noise alike in all channels; `snr` is mean signal variance over noise variance."""
    if snr is None:
        return signal
    variance = float(signal.var(axis=0).mean())
    return signal + np.sqrt(variance / snr) * coloured_noise(signal.shape[0], signal.shape[1], exponent, rng)
