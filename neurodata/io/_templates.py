"""Where each cluster of a Kilosort sorting sits: its best channel, from the templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodata.errors import FormatError
from neurodata.io._npy import read_npy


@dataclass(frozen=True)
class BestChannels:
    """Row of the best channel per cluster (-1 where there is none), and what it was measured on."""

    row: np.ndarray
    measured_on: str


def best_channels(
    folder: Path, clusters: np.ndarray, spike_cluster: np.ndarray, spike_template: np.ndarray, n_channels: int
) -> BestChannels | None:
    """Channel on which the template of each cluster has its largest peak-to-peak amplitude.

    Kilosort writes templates in whitened space, where a channel's amplitude also holds its neighbours'. They are
    taken back to the space of the data with whitening_mat_inv.npy where that is there, as phy does, and used as they
    are otherwise; `measured_on` says which. A cluster that was merged has the mean of its templates, weighted by how
    many of its spikes came from each.

    Parameters
    ----------
    folder : Path
    clusters : array (unit,)
        Cluster ids, sorted.
    spike_cluster, spike_template : array (spike,)
        Cluster and template of each spike.
    n_channels : int
        Channels the sorting used.

    Returns
    -------
    BestChannels or None
        None when the folder has no templates.
    """
    if not (folder / "templates.npy").is_file():
        return None
    templates = read_npy(folder / "templates.npy", mmap=True)
    if templates.ndim != 3:
        raise FormatError("templates.npy of shape (template, sample, channel)", f"{templates.shape}", "write it again")
    index = _channel_index(folder, templates, n_channels)
    unwhiten = None
    if (folder / "whitening_mat_inv.npy").is_file():
        unwhiten = np.asarray(read_npy(folder / "whitening_mat_inv.npy"), dtype=np.float64)
        if unwhiten.shape != (n_channels, n_channels):
            unwhiten = None
    if spike_template.size and (spike_template.min() < 0 or spike_template.max() >= len(templates)):
        raise FormatError(
            f"spike_templates.npy to name rows of templates.npy (0 to {len(templates) - 1})",
            f"{spike_template.min()} to {spike_template.max()}",
            "check that the files belong together",
        )
    # One number per (unit, template): a table of their counts would be mostly empty.
    pairs, number = np.unique(
        np.searchsorted(clusters, spike_cluster) * len(templates) + spike_template, return_counts=True
    )
    bounds = np.searchsorted(pairs, np.arange(len(clusters) + 1) * len(templates))
    row = np.full(len(clusters), -1, dtype=np.int64)
    for unit, (begin, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        waveform = np.zeros((templates.shape[1], n_channels))
        for template, weight in zip(pairs[begin:end] % len(templates), number[begin:end], strict=True):
            channels = index[template]
            used = (channels >= 0) & (channels < n_channels)  # unused places are padded with -1 or n_channels
            waveform[:, channels[used]] += weight * templates[template][:, used]
        if not waveform.any():
            continue
        if unwhiten is not None:
            waveform = waveform @ unwhiten
        row[unit] = int(np.ptp(waveform, axis=0).argmax())
    return BestChannels(row, "whitened templates" if unwhiten is None else "unwhitened templates")


def _channel_index(folder: Path, templates: np.ndarray, n_channels: int) -> np.ndarray:
    """Channel of each column of each template: all of them, or those a sparse sorting kept."""
    for name in ("template_ind.npy", "templates_ind.npy"):
        if (folder / name).is_file():
            index = np.asarray(read_npy(folder / name)).astype(np.int64)
            if index.shape == (templates.shape[0], templates.shape[2]):
                return index
            raise FormatError(
                f"{name} of shape {(templates.shape[0], templates.shape[2])}, as templates.npy has",
                f"{index.shape}",
                "check that the files belong together",
            )
    if templates.shape[2] != n_channels:
        raise FormatError(
            f"templates.npy on {n_channels} channels, as channel_map.npy or channel_positions.npy has",
            f"{templates.shape[2]}, and no template_ind.npy to say which",
            "check that the files belong together",
        )
    return np.broadcast_to(np.arange(n_channels), (templates.shape[0], n_channels))
