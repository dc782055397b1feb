"""Bar: `nd.load` of an NWB Units table of 10 million spikes is at least 5 times faster than `units.to_dataframe()`.

1000 units, written by pynwb: spike times, a quality, and the electrodes of each unit (a reference into the table of
384 electrodes). The file is in the page cache; the ways are interleaved in one process; the median ratio counts. The
other side is opening the file with pynwb and `to_dataframe()`, which ends with an array of spikes per unit and checks
nothing.

`nd.load` leaves the times of a large table in the file until they are used, so a second figure, without a bar, adds
that first use: every time read and checked. Two further tables are timed as well: 1000 units without electrodes, and
10000 with them, because hdmf's cost grows with the number of units and ours with the number of spikes.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hdmf.common import DynamicTableRegion, ElementIdentifiers, VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile
from pynwb.misc import Units

import neurodata as nd

N_SPIKES, DURATION, N_ELECTRODES = 10_000_000, 3600.0, 384
PAIRS = 7
BAR = 5.0


def write(path: Path, n_units: int, electrodes: bool) -> None:
    rng = np.random.default_rng(7)
    number = rng.multinomial(N_SPIKES, np.full(n_units, 1 / n_units))
    stops = np.cumsum(number)
    times = np.concatenate([np.sort(rng.random(n) * DURATION) for n in number])
    file = NWBFile("benchmark", path.name, datetime(2020, 1, 1, tzinfo=UTC))
    spikes = VectorData(name="spike_times", description="s", data=times)
    columns = [
        spikes,
        VectorIndex(name="spike_times_index", data=stops, target=spikes),
        VectorData(name="quality", description="label", data=["good"] * n_units),
    ]
    names = ["spike_times", "quality"]
    if electrodes:
        group = file.create_electrode_group("shank", "probe", "CA1", device=file.create_device("probe"))
        for i in range(N_ELECTRODES):
            file.add_electrode(location="CA1", group=group, x=0.0, y=20.0 * i, z=0.0)
        region = DynamicTableRegion(
            name="electrodes", data=np.arange(n_units) % N_ELECTRODES, description="peak", table=file.electrodes
        )
        columns += [region, VectorIndex(name="electrodes_index", data=np.arange(1, n_units + 1), target=region)]
        names.append("electrodes")
    ids = ElementIdentifiers(name="id", data=np.arange(n_units))
    file.units = Units(name="units", description="sorted", columns=columns, colnames=names, id=ids)
    with NWBHDF5IO(path, "w") as io:
        io.write(file)


def through_data_frame(path: Path) -> int:
    with NWBHDF5IO(path, "r") as io:
        frame = io.read().units.to_dataframe()
        return int(sum(map(len, frame["spike_times"])))


def through_load(path: Path) -> int:
    return nd.load(path)["spikes"].sizes["spike"]


def through_use(path: Path) -> int:
    return nd.load(path)["spikes"]["spike_time"].values.size


CALLS = (through_data_frame, through_load, through_use)


def measure(path: Path) -> float:
    for call in CALLS:
        assert call(path) == N_SPIKES
    pairs = []
    for _ in range(PAIRS):
        taken = []
        for call in CALLS:
            gc.collect()
            start = time.perf_counter()
            call(path)
            taken.append(time.perf_counter() - start)
        pairs.append(taken)
    frame, load, use = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b, _ in pairs)
    with_use = statistics.median(a / c for a, _, c in pairs)
    print(
        f"{path.stem}: to_dataframe {frame * 1e3:.0f} ms, nd.load {load * 1e3:.0f} ms, "
        f"with first use {use * 1e3:.0f} ms (medians of {PAIRS}); ratio {ratio:.1f}, with first use {with_use:.1f}",
        flush=True,
    )
    return ratio


def main() -> int:
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        for n_units, electrodes in ((1000, False), (1000, True), (10_000, True)):
            path = Path(folder) / f"{n_units}_units_{'with' if electrodes else 'without'}_electrodes.nwb"
            write(path, n_units, electrodes)
            ratios[n_units, electrodes] = measure(path)
            path.unlink()
    met = ratios[1000, True] >= BAR
    print(f"bar {BAR} on 1000 units with electrodes: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
