"""Memory that reading 60 s of a 1 GB EDF takes, above the same process after its imports. Bar: 100 MB.

Run: python benchmarks/bench_edf_memory.py
The file has 64 channels at 512 Hz and an annotation channel with one annotation per record, as EDF+ recorders write.
Each reading runs in a fresh process; its peak is VmHWM of /proc/self/status, minus that before the load. MNE
(preload=False, the same window) is measured beside it, for comparison only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

BAR_MB = 100.0
N_CHANNELS, RATE, ANNOTATION_SAMPLES = 64, 512, 32
FILE_BYTES = 10**9
WINDOW = (7000.0, 7060.0)

_CHILD = """
import json, re, sys, time
{imports}
def status(key):
    return int(re.search(key + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
before, path = status("VmRSS"), sys.argv[1]
open("/proc/self/clear_refs", "w").write("5")
begin = time.perf_counter()
{load}
print(json.dumps({{"mb": status("VmHWM") - before, "seconds": time.perf_counter() - begin,
                   "shape": list(values.shape), "sum": float(values.sum())}}))
"""
_CASES = {
    "neurodata": (
        # What the load imports on its first use counts as imports: it is the same for a file of any size.
        "import neurodata as nd, neurodata.io.edf, neurodata.io.load\nfrom neurodata.io.registry import all_readers\n"
        "all_readers()",
        f'values = nd.load(path)["eeg"]["signal"].sel(time=slice({WINDOW[0]}, {WINDOW[1]})).values',
    ),
    "mne": (
        "import mne, mne.io\nmne.io.read_raw_edf",
        "raw = mne.io.read_raw_edf(path, preload=False, verbose='error')\n"
        f"values = raw.get_data(start=int({WINDOW[0]} * {RATE}), stop=int({WINDOW[1]} * {RATE}) + 1).T",
    ),
}


def write_edf(path: Path) -> int:
    """Write the file block by block; return its size."""
    n_signals = N_CHANNELS + 1
    record_bytes = 2 * (N_CHANNELS * RATE + ANNOTATION_SAMPLES)
    n_records = FILE_BYTES // record_bytes
    labels = [f"EEG {i:03d}" for i in range(N_CHANNELS)] + ["EDF Annotations"]
    per_signal = [
        (labels, 16),
        ([""] * n_signals, 80),
        (["uV"] * N_CHANNELS + [""], 8),
        (["-3276.8"] * N_CHANNELS + ["-1"], 8),
        (["3276.7"] * N_CHANNELS + ["1"], 8),
        (["-32768"] * n_signals, 8),
        (["32767"] * n_signals, 8),
        ([""] * n_signals, 80),
        ([str(RATE)] * N_CHANNELS + [str(ANNOTATION_SAMPLES)], 8),
        ([""] * n_signals, 32),
    ]
    main = [("0", 8), ("X X X X", 80), ("Startdate 01-JAN-2020 X X X", 80), ("01.01.20", 8), ("00.00.00", 8)]
    main += [(str(256 * (n_signals + 1)), 8), ("EDF+C", 44), (str(n_records), 8), ("1", 8), (str(n_signals), 4)]
    header = "".join(text.ljust(width) for text, width in main)
    header += "".join(text.ljust(width) for column, width in per_signal for text in column)
    rng = np.random.default_rng(0)
    samples = rng.integers(-500, 500, (64, N_CHANNELS * RATE), dtype="<i2")
    with open(path, "wb") as file:
        file.write(header.encode("ascii"))
        for first in range(0, n_records, 64):
            n = min(64, n_records - first)
            block = np.zeros((n, record_bytes), np.uint8)
            block[:, : 2 * N_CHANNELS * RATE] = samples[:n].view(np.uint8)
            for row in range(n):
                note = f"+{first + row}\x14\x14\0+{first + row}.25\x150.5\x14stimulus {first + row}\x14\0".encode()
                block[row, 2 * N_CHANNELS * RATE :][: len(note)] = np.frombuffer(note, np.uint8)
            file.write(block.tobytes())
    return path.stat().st_size


def measure(name: str, path: Path) -> dict:
    """Peak memory of one reading in a fresh process."""
    imports, load = _CASES[name]
    run = subprocess.run(
        [sys.executable, "-c", _CHILD.format(imports=imports, load=load), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def main() -> int:
    """Print the figures; 1 when the bar is missed or the two readings differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.edf"
        size = write_edf(path)
        ours, theirs = measure("neurodata", path), measure("mne", path)
    print(f"file: {size / 1e6:.0f} MB, {N_CHANNELS} channels x {RATE} Hz, window {WINDOW[1] - WINDOW[0]:g} s")
    print(f"neurodata: peak {ours['mb']:.1f} MB above after imports, {ours['seconds']:.2f} s (bar {BAR_MB:g} MB)")
    print(f"MNE:       peak {theirs['mb']:.1f} MB above after imports, {theirs['seconds']:.2f} s")
    same = ours["shape"] == theirs["shape"] and bool(np.isclose(ours["sum"], theirs["sum"], rtol=1e-9, atol=1e-9))
    print("same values" if same else f"DIFFERENT: {ours} {theirs}")
    return 0 if same and ours["mb"] < BAR_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
