"""The same seed gives the same spikes, bit by bit, in this process, in a fresh one and in workers."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import neurodata as nd
from neurodata._core.parallel import run_parallel

CODE = """
import hashlib, neurodata as nd
zoo = nd.simulate.zoo
for circuit in (zoo.static(n=30, rng=1), zoo.switching_coupling(n=30, rng=1), zoo.stdp(n=30, rng=1)):
    node = nd.simulate.run(circuit, 3.0, rng=7)["spikes"]
    print(hashlib.sha256(node["spike_time"].values.tobytes() + node["spike_count"].values.tobytes()).hexdigest())
"""


def spikes(name: str) -> str:
    circuit = getattr(nd.simulate.zoo, name)(n=30, rng=1)
    node = nd.simulate.run(circuit, 3.0, rng=7)["spikes"]
    assert node["spike_time"].size > 100
    return hashlib.sha256(node["spike_time"].values.tobytes() + node["spike_count"].values.tobytes()).hexdigest()


NAMES = ("static", "switching_coupling", "stdp")


def test_a_fresh_process_gives_the_same_spikes():
    out = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout.split()
    assert out == [spikes(name) for name in NAMES]
    assert len(set(out)) == 3


def test_workers_give_the_same_spikes():
    here = [spikes(name) for name in NAMES]

    def there(name):  # nested: workers cannot import a test file
        import hashlib

        import neurodata

        node = neurodata.simulate.run(getattr(neurodata.simulate.zoo, name)(n=30, rng=1), 3.0, rng=7)["spikes"]
        return hashlib.sha256(node["spike_time"].values.tobytes() + node["spike_count"].values.tobytes()).hexdigest()

    for n_jobs in (1, 2):
        assert run_parallel(there, [(name,) for name in NAMES], n_jobs) == here
