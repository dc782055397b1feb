"""Run every benchmark, or those named: `python -m benchmarks [NAME ...]`, e.g. `bin_spikes`."""

import subprocess
import sys
from pathlib import Path

folder = Path(__file__).parent
names = sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))
missed = []
for name in names:
    print(f"== {name}", flush=True)
    if subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], cwd=folder.parent, check=False).returncode:
        missed.append(name)
print(
    f"{len(names) - len(missed)} of {len(names)} benchmarks meet their bar" + (f"; missed: {missed}" if missed else "")
)
sys.exit(bool(missed))
