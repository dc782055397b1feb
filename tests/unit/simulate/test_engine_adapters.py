"""Adapters: what they refuse, that they say what is missing, and that they leave nothing behind."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from neurodata.errors import MissingDependencyError, OptionError
from neurodata.simulate import (
    OU,
    STDP,
    AllToAll,
    Circuit,
    Connection,
    Latent,
    Modulator,
    Population,
    States,
    run,
)

PAIR = Circuit((Population("E", 2, bias=25.0),), (Connection("E", "E", AllToAll(), 0.5),))
GAIN = PAIR.replace(states=States(2, gain=np.array([[1.0, 1.0], [2.0, 1.0]])))
COUPLING = PAIR.replace(states=States(2, coupling=np.array([[[1.0]], [[2.0]]])))
PLASTIC = PAIR.replace(plasticity=STDP())
MODULATED = PAIR.replace(modulator=Modulator())
COLOURED = Circuit((Population("E", 2, noise=OU(1.0, 0.01)),))
LATENT = PAIR.replace(latents=(Latent(0.1, np.ones(2)),))


@pytest.mark.parametrize(
    ("engine", "circuit", "feature", "able"),
    [
        ("brian2", COUPLING, "coupling", "'numba'"),
        ("brian2", PLASTIC, "plasticity", "'numba'"),
        ("brian2", MODULATED, "modulator", "'numba'"),
        ("nest", COUPLING, "coupling", "'numba'"),
        ("nest", PLASTIC, "plasticity", "'numba'"),
        ("nest", MODULATED, "modulator", "'numba'"),
        ("nest", GAIN, "gain", "'brian2'"),
        ("nest", COLOURED, "coloured noise", "'brian2'"),
        ("nest", GAIN.replace(plasticity=STDP()), "plasticity", "engine='numba'$"),
        ("nest", PAIR.replace(dt=1.5e-7, frame=1.5e-4), "microseconds", "round dt="),
        ("nest", LATENT.replace(frame=1e-4), "two steps", "longer frame="),
    ],
)
def test_what_an_engine_lacks_is_refused_by_name(engine, circuit, feature, able):
    """Before the engine is looked for, so also where it is not installed."""
    with pytest.raises(OptionError, match=feature) as caught:
        run(circuit, 0.1, rng=0, engine=engine)
    caught.match(able)


@pytest.mark.parametrize("engine", ["brian2", "nest"])
def test_a_missing_engine_names_its_extra(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(MissingDependencyError, match=rf'pip install "neurodata\[{engine}\]"'):
        run(PAIR, 0.1, rng=0, engine=engine)


@pytest.fixture(params=["brian2", "nest"])
def engine(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed: pip install 'neurodata[{request.param}]'")
    if request.param == "nest":
        yield "nest"
        return
    from neurodata.simulate.engine_brian2 import import_brian2

    preference = import_brian2().prefs.codegen
    before, preference.target = preference.target, "numpy"
    yield "brian2"
    preference.target = before


def test_a_run_is_silent_repeatable_and_leaves_global_state_alone(engine, capfd):
    circuit = Circuit((Population("E", 20, bias=17.5, noise=OU(3.5)),))
    hook = sys.excepthook
    np.random.seed(5)  # noqa: NPY002 - the global generator, which brian2 draws from, is what is watched
    first, second, other = (run(circuit, 0.2, rng=rng, engine=engine)["spikes"].to_dataset() for rng in (3, 3, 4))
    after = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert after.tolist() == np.random.random(3).tolist()  # noqa: NPY002
    assert sys.excepthook is hook
    assert first.spike_time.size > 20
    assert first.identical(second)
    assert not first.identical(other)
    assert capfd.readouterr() == ("", "")


def test_truth_names_the_engine_and_progress_reaches_its_end(engine):
    class Count:
        done = total = 0

        def start(self, total, label):
            self.total = total

        def update(self, n=1, note=""):
            self.done += n

        def close(self):
            pass

    count = Count()
    truth = run(PAIR, 0.35, rng=0, engine=engine, progress=count)["truth"]
    assert truth.attrs["engine"] == engine
    assert truth.attrs["engine_version"]
    assert count.done == count.total > 0
    assert "current_e" not in truth


def test_the_start_is_that_of_the_embedded_engine(engine):
    """Starting voltages are the first numbers of the stream in every engine: without noise, the first spikes agree."""
    ours, theirs = (run(PAIR, 0.1, rng=7, engine=e)["spikes"]["spike_time"].values for e in ("numba", engine))
    assert ours[0] == pytest.approx(theirs[0], abs=1.01e-4)
