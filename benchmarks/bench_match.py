"""Bar: `match` finds twins of four real recordings of which at least 75 % of the statistics are within 20 %.

Spike trains: NWB units, nelpy's linear track, IBL's ALF. Counts alone, and statistics of counts alone: Allen. The rest
of the statistics are named; those whose standard error in a recording of this length is above 20 % of them are marked
by *. A recording of 314 spikes is refused. Recordings are read from the folder NEURODATA_DATA.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import neurodata as nd
from neurodata.errors import RecordingError

BAR, SEEDS = 0.75, 3
COUNTS = {"reader": "table", "node": "counts", "bin_width": 0.5, "dims": ("unit", "time"), "start": 2822.16}
RECORDINGS = {
    "nwb_units": ("nwb_units_pynapple/A8604-211122.nwb", {}),
    "nelpy": ("nelpy_linear_track/spikes.mat", {"mapping": {"spikes/spike_time": "spikes/*/*/*/*/time"}}),
    "ibl_alf": ("ibl_alf_derived", {}),
    "allen": ("allen_719161530/Y.csv", COUNTS),
}


def main() -> int:
    folder = os.environ.get("NEURODATA_DATA")
    if not folder:
        print("no recordings: set NEURODATA_DATA to their folder")
        return 1
    spikes, missed = Path(folder) / "spikes", 0
    for name, (path, options) in RECORDINGS.items():
        rec = nd.load(spikes / path, **options)
        for seed in range(SEEDS):
            start = time.process_time()
            found = nd.validate.match(rec, rng=seed)
            noisy = found.table["statistic"].values[found.table["uncertain"].values]
            names = [f"{m}{'*' if m in noisy else ''}" for m in found.missed]
            met = found.score >= BAR
            missed += not met
            print(
                f"{name}, seed {seed}: {found.score:.0%} of {int(found.compared.sum())} statistics within 20 %, "
                f"{'met' if met else 'missed'}; {time.process_time() - start:.0f} s of CPU; "
                f"not: {', '.join(names) or 'none'}",
                flush=True,
            )
    try:
        nd.validate.match(nd.load(spikes / "phy_template", sampling_rate=25_000.0), rng=0)
        print("phy_template: matched, missed")
        missed += 1
    except RecordingError as error:
        print(f"phy_template: refused, met: {error}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
