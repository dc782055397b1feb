"""Make the small example recordings in `datasets/examples`, in the formats that labs have them in.

    python datasets/make_examples.py [FOLDER]

The data are simulated with fixed seeds, so the truth is known; it is kept beside the recordings in
`examples/truth.json`, where no reader sees it. After a change, put the new sums into `registry.toml`
(`python datasets/make_examples.py --sums` prints them).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.signal import butter, sosfiltfilt

HERE = Path(__file__).resolve().parent


def state_path(rng: np.random.Generator, n_states: int, n_steps: int, dwell: tuple[float, float]) -> np.ndarray:
    """A semi-Markov path: dwell times from a gamma (mean, shape; steps), the next state any other."""
    path = np.empty(n_steps, dtype=np.int64)
    state, at = int(rng.integers(n_states)), 0
    while at < n_steps:
        stay = max(1, round(rng.gamma(dwell[1], dwell[0] / dwell[1])))
        path[at : at + stay] = state
        at += stay
        state = int((state + rng.integers(1, n_states)) % n_states)
    return path


def switches(path: np.ndarray, step: float) -> dict[str, list[Any]]:
    """A path as the times (s) at which each stretch starts, and its states."""
    first = np.r_[0, np.flatnonzero(np.diff(path)) + 1]
    return {"start": [round(float(t), 4) for t in first * step], "state": path[first].tolist()}


# Spikes: a phy folder ------------------------------------------------------------------------------------------------


def make_spikes(folder: Path) -> dict[str, Any]:
    """30 units in three groups, 240 s. In each of three states another group is active and other couplings hold.

    Each unit fires from a conditional intensity ``exp(rate + coupling)`` in steps of 1 ms, as in a Poisson GLM with
    history (Truccolo et al. 2005, doi:10.1152/jn.00697.2004), with 2 ms of absolute refractoriness.
    """
    rng = np.random.default_rng(20240611)
    n_units, n_states, duration, step, fs = 30, 3, 240.0, 1e-3, 30_000
    n_steps = round(duration / step)
    group = np.arange(n_units) % 3
    state = state_path(rng, n_states, n_steps, (3500.0, 3.0))

    rate = rng.lognormal(np.log(4.0), 0.45, n_units)
    gain = np.full((n_states, n_units), 0.7)
    for s in range(n_states):
        gain[s, group == s] = 2.0
    log_rate = np.log(rate * gain)

    # (state, post, pre): log gain right after one spike, decaying with 15 ms. State 0 has the couplings inside group 0
    # only; in state 1 group 1 drives group 2; in state 2 group 2 silences group 0.
    weight = np.zeros((n_states, n_units, n_units))
    sparse = rng.random((n_units, n_units)) < 0.3
    np.fill_diagonal(sparse, False)
    for s, (post, pre, size) in enumerate([(0, 0, 0.5), (2, 1, 1.4), (0, 2, -3.0)]):
        block = np.ix_(group == post, group == pre)
        weight[s][block] = np.where(sparse[block], size, 0.0)

    decay, trace = np.exp(-step / 0.015), np.zeros(n_units)
    silent = np.zeros(n_units, dtype=np.int64)
    uniform = rng.random((n_steps, n_units))
    fired: list[tuple[np.ndarray, np.ndarray]] = []
    for k in range(n_steps):
        intensity = np.exp(log_rate[state[k]] + weight[state[k]] @ trace)
        spike = (uniform[k] < -np.expm1(-intensity * step)) & (silent == 0)
        silent = np.where(spike, 2, np.maximum(silent - 1, 0))
        trace = decay * (trace + spike)
        unit = np.flatnonzero(spike)
        if unit.size:
            fired.append((np.full(unit.size, k), unit))
    at, unit = (np.concatenate(parts) for parts in zip(*fired, strict=True))
    sample = np.floor((at + rng.random(at.size)) * step * fs).astype(np.uint64)
    order = np.argsort(sample, kind="stable")
    sample, unit = sample[order], unit[order]

    # Ids as they are after curation in phy: not 0..n-1, because clusters were merged and split.
    ids = np.sort(rng.choice(np.arange(3, 90), n_units, replace=False)).astype(np.int32)
    depth_rank = np.argsort(np.argsort(group, kind="stable"))
    n_channels = 16
    place = np.stack([np.where(np.arange(n_channels) % 2, 27.0, 59.0), 20.0 * (np.arange(n_channels) // 2)], axis=1)
    best = depth_rank * n_channels // n_units
    size = rng.lognormal(np.log(60.0), 0.3, n_units)

    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "spike_times.npy", sample)
    np.save(folder / "spike_clusters.npy", ids[unit])
    np.save(folder / "spike_templates.npy", unit.astype(np.uint16))
    amplitude = (size[unit] * (1 + 0.12 * rng.standard_normal(unit.size))).clip(5.0)
    np.save(folder / "amplitudes.npy", amplitude.astype(np.float32))
    np.save(folder / "templates.npy", _templates(size, best, place))
    np.save(folder / "channel_map.npy", np.arange(n_channels, dtype=np.int32))
    np.save(folder / "channel_positions.npy", place)
    quality = np.where(size > 45.0, "good", "mua").astype(object)
    quality[rng.choice(n_units, 2, replace=False)] = "unsorted"
    rows = [f"{i}\t{q}" for i, q in zip(ids, quality, strict=True)]
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n" + "\n".join(rows) + "\n")
    (folder / "params.py").write_text(
        f"dat_path = 'recording.dat'\nn_channels_dat = {n_channels}\ndtype = 'int16'\noffset = 0\n"
        f"sample_rate = {fs}.\nhp_filtered = False\n"
    )
    pre = {s: np.argwhere(weight[s]) for s in range(n_states)}
    return {
        "duration": duration,
        "unit": ids.tolist(),
        "group": group.tolist(),
        "rate": np.round(rate * gain, 3).tolist(),
        "switches": switches(state, step),
        "coupling": [
            {"state": s, "post": int(ids[i]), "pre": int(ids[j]), "weight": float(weight[s, i, j])}
            for s in range(n_states)
            for i, j in pre[s]
        ],
    }


def _templates(size: np.ndarray, best: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Waveforms (template, sample, channel) that fall off with the distance from the best channel."""
    t = np.arange(32)
    shape = -np.exp(-0.5 * ((t - 10) / 1.8) ** 2) + 0.35 * np.exp(-0.5 * ((t - 17) / 3.5) ** 2)
    distance = np.linalg.norm(place[best][:, None] - place[None], axis=2)
    fall = np.exp(-distance / 30.0)
    fall[fall < 0.05] = 0.0
    return (size[:, None, None] / 60.0 * shape[None, :, None] * fall[:, None, :]).astype(np.float32)


# Calcium: a suite2p folder -------------------------------------------------------------------------------------------


def make_calcium(folder: Path) -> dict[str, Any]:
    """36 ROIs (33 cells), 300 s at 10 Hz, three states with another group active in each.

    Spikes at 50 Hz, a GCaMP-like kernel (rise 0.06 s, decay 0.7 s), a neuropil shared by all, bleaching, shot noise.
    `spks` is a non-negative deconvolution with suite2p's steps: 0.7 neuropil removed, baseline removed, OASIS.
    """
    rng = np.random.default_rng(20240612)
    n_rois, n_states, duration, fs, fine = 36, 3, 300.0, 10.0, 50.0
    n_fine, n_frames = round(duration * fine), round(duration * fs)
    state = state_path(rng, n_states, n_fine, (9.0 * fine, 4.0))
    group = np.arange(n_rois) % 3
    is_cell = np.ones(n_rois, dtype=bool)
    is_cell[[11, 22, 33]] = False

    rate = rng.lognormal(np.log(0.25), 0.4, (1, n_rois)) * np.where(group == np.arange(n_states)[:, None], 7.0, 0.6)
    spikes = rng.poisson(rate[state] / fine)
    lag = np.arange(0, 5.0, 1 / fine)
    kernel = (1 - np.exp(-lag / 0.06)) * np.exp(-lag / 0.7)
    kernel /= kernel.max()
    signal = np.apply_along_axis(lambda column: np.convolve(column, kernel)[:n_fine], 0, spikes.astype(float))
    signal[:, ~is_cell] = 0.0
    frames = signal.reshape(n_frames, -1, n_rois).mean(axis=1)

    t = np.arange(n_frames) / fs
    slow = _lowpass(rng.standard_normal(n_frames), 0.15, fs)
    neuropil = 180.0 + 25.0 * slow[:, None] / slow.std() + 60.0 * frames.mean(axis=1, keepdims=True)
    neuropil = neuropil * rng.uniform(0.85, 1.15, n_rois) + 4.0 * rng.standard_normal((n_frames, n_rois))
    base = rng.uniform(250.0, 500.0, n_rois)
    bleach = 1.0 - 0.06 * t[:, None] / duration
    fluorescence = base * bleach * (1.0 + 0.35 * frames) + 0.7 * (neuropil - neuropil.mean(axis=0))
    fluorescence += 0.045 * base * rng.standard_normal((n_frames, n_rois))

    corrected = fluorescence - 0.7 * neuropil
    corrected = corrected - _baseline(corrected, fs)
    deconvolved = np.stack([oasis(column, np.exp(-1 / (0.7 * fs))) for column in corrected.T])
    chance = np.where(is_cell, rng.uniform(0.75, 0.99, n_rois), rng.uniform(0.05, 0.3, n_rois))

    plane = folder / "suite2p" / "plane0"
    plane.mkdir(parents=True, exist_ok=True)
    np.save(plane / "F.npy", np.round(fluorescence.T, 1).astype(np.float32))
    np.save(plane / "Fneu.npy", np.round(neuropil.T, 1).astype(np.float32))
    np.save(plane / "spks.npy", np.round(deconvolved, 2).astype(np.float32))
    np.save(plane / "iscell.npy", np.stack([is_cell, np.round(chance, 4)], axis=1).astype(np.float64))
    return {"duration": duration, "sampling_rate": fs, "group": group.tolist(), "switches": switches(state, 1 / fine)}


def _lowpass(x: np.ndarray, edge: float, fs: float) -> np.ndarray:
    return sosfiltfilt(butter(2, edge, fs=fs, output="sos"), x, axis=0)


def _baseline(x: np.ndarray, fs: float, window: float = 60.0) -> np.ndarray:
    """The running maximum of the running minimum of the smoothed traces (suite2p's "maximin")."""
    width = round(window * fs)
    return maximum_filter1d(minimum_filter1d(_lowpass(x, 0.1 * fs, fs), width, axis=0), width, axis=0)


def oasis(y: np.ndarray, g: float) -> np.ndarray:
    """Spikes s >= 0 whose decaying traces fit `y` best: active sets of Friedrich et al. 2017 for one AR coefficient.

    Reference: Friedrich, Zhou, Paninski 2017, PLoS Comput Biol 13:e1005423, doi:10.1371/journal.pcbi.1005423.
    """
    value, weight, start, length = [], [], [], []
    for k, sample in enumerate(y):
        v, w, at, n = float(sample), 1.0, k, 1
        while value and value[-1] * g ** length[-1] > v:
            v0, w0, at, n0 = value.pop(), weight.pop(), start.pop(), length.pop()
            total = w0 + g ** (2 * n0) * w
            v, w, n = (v0 * w0 + g**n0 * w * v) / total, total, n0 + n
        value.append(max(v, 0.0))
        weight.append(w)
        start.append(at)
        length.append(n)
    spikes = np.zeros(len(y))
    for k in range(1, len(value)):
        spikes[start[k]] = max(value[k] - value[k - 1] * g ** length[k - 1], 0.0)
    return spikes


# EEG: one EDF+ file --------------------------------------------------------------------------------------------------

# Place on the head seen from above, nose up, in head radii.
ELECTRODES = {
    "Fp1": (-0.3, 0.9), "Fp2": (0.3, 0.9), "F3": (-0.4, 0.5), "F4": (0.4, 0.5), "C3": (-0.5, 0.0), "Cz": (0.0, 0.0),
    "C4": (0.5, 0.0), "P3": (-0.4, -0.5), "Pz": (0.0, -0.5), "P4": (0.4, -0.5), "O1": (-0.3, -0.9), "O2": (0.3, -0.9),
}  # fmt: skip


def make_eeg(path: Path) -> dict[str, Any]:
    """12 scalp channels and one eye channel, 200 s at 128 Hz; 40 cues, half of them left, half right.

    Every cue evokes a wave at the back of the head. For 2 s the mu (10 Hz) and beta (20 Hz) rhythms over the hand
    area of the other side weaken, as they do in movement and its imagination (Pfurtscheller & Lopes da Silva 1999,
    doi:10.1016/S1388-2457(99)00141-8).
    """
    import edfio

    rng = np.random.default_rng(20240613)
    fs, duration, n_cues = 128, 200, 40
    n = fs * duration
    t = np.arange(n) / fs
    names, place = list(ELECTRODES), np.array(list(ELECTRODES.values()))
    onset = 4.0 + 4.8 * np.arange(n_cues) + rng.uniform(0.0, 0.8, n_cues)
    onset = np.round(onset * fs) / fs
    left = rng.permutation(np.arange(n_cues) % 2 == 0)

    def spread(at: tuple[float, float], width: float) -> np.ndarray:
        return np.exp(-0.5 * ((place - at) ** 2).sum(axis=1) / width**2)

    near = np.exp(-0.5 * ((place[:, None] - place[None]) ** 2).sum(axis=2) / 0.35**2)
    signal = 5.0 * _pink(rng, n, len(names), fs) @ (near / np.sqrt((near**2).sum(axis=0)))
    signal += 9.0 * _rhythm(rng, t, 10.2, 1.0, fs)[:, None] * spread((0.0, -0.9), 0.35)
    quiet = {
        side: 1.0 - 0.75 * sum(_step(t, at + 0.3, at + 2.2) for at in onset[chosen])
        for side, chosen in (("C4", left), ("C3", ~left))
    }
    for name, hush in quiet.items():
        mu = 7.0 * _rhythm(rng, t, 10.0, 1.0, fs) + 3.0 * _rhythm(rng, t, 20.5, 1.5, fs)
        signal += (mu * hush)[:, None] * spread(ELECTRODES[name], 0.22)
    for at, is_left in zip(onset, left, strict=True):
        later = t - at
        signal += (5.0 * _wave(later, 0.10, 0.02) - 8.0 * _wave(later, 0.17, 0.028))[:, None] * spread((0, -0.9), 0.4)
        late = (6.0 if is_left else 4.0) * rng.uniform(0.8, 1.2)
        signal += (late * _wave(later, 0.36, 0.07))[:, None] * spread((0.0, -0.4), 0.4)
    blink = np.zeros(n)
    for at in np.cumsum(rng.gamma(4.0, 1.4, 200)):
        blink += rng.uniform(70, 130) * _wave(t - at, 0.0, 0.06)
    signal += blink[:, None] * 0.6 * spread((0.0, 1.1), 0.28) / spread((0.0, 1.1), 0.28).max()
    signal += 0.8 * np.sin(2 * np.pi * 50.0 * t)[:, None]
    eye = blink + 6.0 * _pink(rng, n, 1, fs)[:, 0]

    columns = [(name, signal[:, k]) for k, name in enumerate(names)] + [("EOG L/R", eye)]
    edf = edfio.Edf(
        [
            edfio.EdfSignal(
                np.clip(values, -399, 399),
                fs,
                label=name,
                transducer_type="simulated",
                physical_dimension="uV",
                physical_range=(-400, 400),
                prefiltering="HP:0.1Hz LP:60Hz",
            )
            for name, values in columns
        ],
        annotations=[
            edfio.EdfAnnotation(float(at), 2.0, f"cue/{'left' if is_left else 'right'}")
            for at, is_left in zip(onset, left, strict=True)
        ],
        patient=edfio.Patient(code="example"),
        recording=edfio.Recording(startdate=datetime.date(2024, 6, 13), equipment_code="simulation"),
        starttime=datetime.time(9, 30),
        data_record_duration=1,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    edf.write(path)
    return {"onset": onset.tolist(), "left": left.tolist()}


def _pink(rng: np.random.Generator, n: int, k: int, fs: float) -> np.ndarray:
    """Noise (time, channel) with power that falls as 1/f from 0.5 Hz to 60 Hz, of unit s.d."""
    spectrum = np.fft.rfft(rng.standard_normal((n, k)), axis=0)
    frequency = np.fft.rfftfreq(n, 1 / fs)
    shape = 1 / np.sqrt(np.maximum(frequency, 0.5))
    shape *= (frequency > 0.1) / np.sqrt(1 + (frequency / 60.0) ** 8)
    noise = np.fft.irfft(spectrum * shape[:, None], n, axis=0)
    return noise / noise.std(axis=0)


def _rhythm(rng: np.random.Generator, t: np.ndarray, centre: float, half_width: float, fs: float) -> np.ndarray:
    """A waxing and waning rhythm of unit s.d."""
    band = butter(2, [centre - half_width, centre + half_width], btype="band", fs=fs, output="sos")
    wave = sosfiltfilt(band, rng.standard_normal(t.size))
    return wave / wave.std()


def _wave(t: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((t - centre) / width) ** 2)


def _step(t: np.ndarray, start: float, stop: float, edge: float = 0.15) -> np.ndarray:
    return 0.25 * (1 + np.tanh((t - start) / edge)) * (1 - np.tanh((t - stop) / edge))


def make_all(folder: Path) -> None:
    """Write the three recordings and `truth.json` into `folder`."""
    truth = {
        "example_spikes": make_spikes(folder / "example_spikes"),
        "example_calcium": make_calcium(folder / "example_calcium"),
        "example_eeg": make_eeg(folder / "example_eeg" / "example_eeg.edf"),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=None, separators=(",", ":")) + "\n")


def sums(folder: Path) -> str:
    """The `files` tables of the registry for what is in `folder`."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "truth.json"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name, _, file = path.relative_to(folder).as_posix().partition("/")
        lines.append(f'{name}: {{ path = "{file}", size = {path.stat().st_size}, sha256 = "{digest}" }},')
    return "\n".join(lines)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--sums"]
    target = Path(arguments[0]) if arguments else HERE / "examples"
    if "--sums" in sys.argv[1:]:
        sys.stdout.write(sums(target) + "\n")
    else:
        make_all(target)
