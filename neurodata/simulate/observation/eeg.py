"""EEG: populations as current dipoles, seen through a lead field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers.eeg import make_eeg
from neurodata.errors import OptionError
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import Stage, free_name, with_nodes
from neurodata.simulate.observation.currents import SOURCES, resampled, source_currents, weighted_sum, with_noise
from neurodata.simulate.truth import truth_of

HEAD_RADIUS = 0.095  # m, of the sphere to which electrodes are moved
SOURCE_RADIUS = 0.070  # m, where sources lie unless placed


@register
@dataclass(frozen=True, eq=False)
class EEG(Stage):
    r"""EEG of the excitatory populations through a lead field.

    Every source is a dipole whose moment follows the reference weighted sum of its synaptic currents (see `LFP`).

    .. math:: EEG = L\,m\,s(t) + \epsilon

    with s of unit standard deviation, dipole moment m, and noise of power 1 / f.

    Parameters
    ----------
    lead_field : array (channel, source), optional
        V per A m. Default: computed by MNE for a head of four concentric spheres (extra ``eeg``).
    channels : tuple of str, optional
        Names. With `lead_field`: default EEG001, ...; without: electrodes of `montage`, default all.
    position : array (channel, 3), optional
        Of the electrodes, m; with `lead_field`. Without, those of the montage.
    montage : str
        A standard montage of MNE.
    sources : {"all", "population", "cluster"}
        What a source is.
    source_position : array (source, 3), optional
        m, from the centre of the head (x right, y front, z up), as are the electrodes; default: spread evenly over the
        upper part of a sphere of 70 mm. Used without `lead_field` only.
    source_orientation : array (source, 3), optional
        Directions of the dipoles; default: radial.
    moment : float
        Standard deviation of the dipole moments, A m. The default of 20 nA m makes an EEG of some microvolts.
    sampling_rate : float
        Hz; divides the 1000 Hz at which currents are kept.
    snr : float or None
        Variance of the signal, mean over channels, over that of the noise; None for no noise.
    noise_exponent : float
        The power of the noise falls as 1 / f to this power.

    Examples
    --------
    >>> import numpy as np
    >>> from neurodata.simulate import EEG, observe, run, zoo
    >>> stage = EEG(lead_field=np.array([[100.0], [50.0]]), channels=("Cz", "Pz"), sampling_rate=250.0)
    >>> seen = observe(run(zoo.static(n=20, rng=0), 2.0, rng=0), [stage], rng=0)
    >>> seen["eeg"]["signal"].sizes["channel"]
    2
    """

    lead_field: np.ndarray | None = None
    channels: tuple[str, ...] | None = None
    position: np.ndarray | None = None
    montage: str = "biosemi32"
    sources: str = "population"
    source_position: np.ndarray | None = None
    source_orientation: np.ndarray | None = None
    moment: float = 2e-8
    sampling_rate: float = 250.0
    snr: float | None = 1.0
    noise_exponent: float = 1.0

    def __post_init__(self) -> None:
        self._require(self.sources in SOURCES, f"sources of {', '.join(SOURCES)}", "sources")
        for name in ("moment", "sampling_rate") + (("snr",) if self.snr is not None else ()):
            self._require_finite(name)
            self._require(getattr(self, name) > 0, f"a positive {name}", name)
        self._require_finite("noise_exponent")
        self._require(0 <= self.noise_exponent <= 4, "noise_exponent from 0 to 4", "noise_exponent")
        for name in ("lead_field", "position", "source_position", "source_orientation"):
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, dtype=np.float64)
            object.__setattr__(self, name, array)
            columns = array.ndim == 2 and (name == "lead_field" or array.shape[1] == 3)
            if not (columns and np.isfinite(array).all()):
                shape = "(channel, source)" if name == "lead_field" else "(n, 3)"
                raise OptionError(f"EEG with a finite {name} {shape}", f"shape {array.shape}", f"correct {name}=")
        if self.channels is not None:
            object.__setattr__(self, "channels", tuple(map(str, self.channels)))
        if self.lead_field is not None:
            n = self.lead_field.shape[0]
            for name in ("channels", "position"):
                value = getattr(self, name)
                if value is not None and len(value) != n:
                    raise OptionError(f"{name} for the {n} rows of lead_field", f"{len(value)}", f"correct {name}=")
        elif self.position is not None:
            raise OptionError(
                "position= with lead_field=", "position= alone", "choose electrodes by montage=, channels="
            )

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """A node `eeg`; see `Stage.apply`."""
        names, time, excitatory, inhibitory = source_currents(truth_of(rec), self.sources)
        time, activity = resampled(*weighted_sum(time, excitatory, inhibitory), self.sampling_rate)
        position: np.ndarray | None
        if self.lead_field is None:
            channels, position, field = self._sphere(len(names))
        else:
            field, position = self.lead_field, self.position
            channels = list(self.channels or (f"EEG{k + 1:03d}" for k in range(field.shape[0])))
        if field.shape[1] != len(names):
            raise OptionError(
                f"a lead field for the {len(names)} sources ({', '.join(names)})",
                f"{field.shape[1]} columns",
                "correct it",
            )
        node = make_eeg(
            with_noise(self.moment * activity @ field.T, self.snr, self.noise_exponent, rng),
            channel=channels,
            time=time,
            sampling_rate=self.sampling_rate,
            ch_type="eeg",
            position=position,
        )
        return with_nodes(rec, {free_name(rec, "eeg"): node})

    def _sphere(self, n_sources: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Electrodes, their places (m) and the lead field (V / (A m)) of a spherical head."""
        mne = require("mne", "eeg", "to compute the lead field of a head of spheres")
        known = mne.channels.get_builtin_montages()
        self._require(self.montage in known, f"montage of {', '.join(known)}", "montage")
        montage = mne.channels.make_standard_montage(self.montage, head_size=HEAD_RADIUS)
        wanted = list(self.channels or montage.ch_names)
        unknown = sorted(set(wanted) - set(montage.ch_names))
        if unknown:
            raise OptionError(f"electrodes of {self.montage}", f"{unknown}", "correct channels=, or pass montage=")
        info = mne.create_info(montage.ch_names, self.sampling_rate, "eeg", verbose="ERROR")
        info.set_montage(montage, verbose="ERROR")
        # MNE puts the origin between the ears: the head is the sphere through the electrodes.
        centre = sphere_centre(np.array([channel["loc"][:3] for channel in info["chs"]]))
        info = mne.pick_info(info, [montage.ch_names.index(name) for name in wanted])
        place = spread_sources(n_sources) if self.source_position is None else self.source_position
        if place.shape[0] != n_sources:
            raise OptionError(f"{n_sources} source positions", f"{place.shape[0]}", "correct source_position=")
        pointing = place if self.source_orientation is None else self.source_orientation
        length = np.linalg.norm(pointing, axis=1, keepdims=True)
        radius = np.linalg.norm(place, axis=1)
        if pointing.shape != place.shape or not (length > 0).all():
            raise OptionError(
                "one direction that is not 0 per source", f"shape {pointing.shape}", "pass source_orientation="
            )
        if (radius >= 0.9 * HEAD_RADIUS).any():
            raise OptionError(
                f"sources inside the brain (radius below {0.9 * HEAD_RADIUS:.3f} m)",
                f"a radius of {radius.max():.3f} m",
                "give source_position= in m",
            )
        head = mne.make_sphere_model(r0=tuple(centre), head_radius=HEAD_RADIUS, verbose="ERROR")
        dipoles = mne.Dipole(
            times=np.arange(n_sources, dtype=np.float64),
            pos=place + centre, amplitude=np.ones(n_sources), ori=pointing / length, gof=np.zeros(n_sources),
            verbose="ERROR",
        )  # fmt: skip
        forward, _ = mne.make_forward_dipole(dipoles, head, info, verbose="ERROR")
        electrode = np.array([channel["loc"][:3] for channel in info["chs"]])
        return wanted, electrode - centre, np.asarray(forward["sol"]["data"], dtype=np.float64)


def spread_sources(n: int) -> np.ndarray:
    """`n` places spread evenly (golden angle) over the part z > 20 mm of a sphere of 70 mm, (n, 3), m."""
    height = 1.0 - (np.arange(n) + 0.5) / n * (1.0 - 0.02 / SOURCE_RADIUS)
    angle = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(n)
    ring = np.sqrt(1.0 - height**2)
    return SOURCE_RADIUS * np.stack((ring * np.cos(angle), ring * np.sin(angle), height), axis=1)


def sphere_centre(points: np.ndarray) -> np.ndarray:
    """Centre of the sphere that fits points (point, 3) best."""
    # |p|^2 = 2 c.p + r^2 - |c|^2
    design = np.hstack((2.0 * points, np.ones((points.shape[0], 1))))
    return np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0][:3]
