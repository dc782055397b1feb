"""What drives a circuit from outside, against what its docstrings state: distributions, held frames, events."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.errors import OptionError
from neurodata.simulate import STDP, Circuit, Latent, Modulator, Population, States, Stimulus, run
from neurodata.simulate.inputs import draw_latent, stimulus_frames
from neurodata.simulate.run import draw_inputs

FRAME = 0.005


def dwells(path: np.ndarray, frame: float) -> np.ndarray:
    """Lengths (s) of all visits but the first and the last, which are cut."""
    at = np.flatnonzero(np.diff(path)) + 1
    return np.diff(at) * frame


@pytest.mark.statistical
@pytest.mark.parametrize(("shape", "cv"), [(1.0, 1.0), (4.0, 0.5)], ids=["Markov", "semi-Markov"])
def test_dwell_times_are_gamma(shape, cv):
    path = States(3, dwell=0.5, dwell_shape=shape).draw(400_000, FRAME, np.random.default_rng(0))
    times = dwells(path, FRAME)
    n = times.size
    assert n > 3500
    # 4 standard errors: of a mean, cv / sqrt(n); of a cv, below cv sqrt(1/2 + cv^2) / sqrt(n). Frames of 1 % of the
    # mean round what is drawn.
    assert times.mean() == pytest.approx(0.5, rel=4 * cv / np.sqrt(n) + 0.005)
    assert times.std() / times.mean() == pytest.approx(cv, rel=4 * np.sqrt(0.5 + cv**2) / np.sqrt(n) + 0.01)
    # Memory: an exponential has none, so a visit that has lasted half a mean lasts a mean longer; a gamma does not.
    longer = times[times > 0.25] - 0.25
    if shape == 1.0:
        assert longer.mean() == pytest.approx(0.5, rel=0.08)
    else:
        assert longer.mean() < 0.4


@pytest.mark.statistical
def test_dwell_ranges_are_uniform():
    path = States(2, dwell=(0.2, 1.0)).draw(400_000, FRAME, np.random.default_rng(1))
    times = dwells(path, FRAME)
    assert times.min() >= 0.2 - FRAME
    assert times.max() <= 1.0 + FRAME
    assert times.mean() == pytest.approx(0.6, abs=4 * 0.231 / np.sqrt(times.size))
    assert times.std() == pytest.approx(0.8 / np.sqrt(12), rel=0.05)


@pytest.mark.statistical
def test_jumps_follow_their_probabilities():
    jump = np.array([[0.0, 0.9, 0.1], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    path = States(3, dwell=0.1, jump=jump).draw(200_000, FRAME, np.random.default_rng(2))
    at = np.flatnonzero(np.diff(path))
    count = np.zeros((3, 3))
    np.add.at(count, (path[at], path[at + 1]), 1.0)
    total = count.sum(axis=1, keepdims=True)
    error = np.sqrt(jump * (1 - jump) / total)
    assert (np.abs(count / total - jump) <= 4 * error + 1e-12).all()


def test_states_without_jump_go_to_all_others_alike():
    path = States(4, dwell=0.05).draw(100_000, FRAME, np.random.default_rng(3))
    at = np.flatnonzero(np.diff(path))
    count = np.zeros((4, 4))
    np.add.at(count, (path[at], path[at + 1]), 1.0)
    share = count / count.sum(axis=1, keepdims=True)
    off = ~np.eye(4, dtype=bool)
    assert share[off].min() > 0.29  # 1/3, 2500 jumps each: sd 0.0094
    assert share[off].max() < 0.38


def test_states_as_short_as_a_frame_still_end():
    path = States(2, dwell=1e-6).draw(100, FRAME, np.random.default_rng(0))
    assert (np.diff(path) != 0).all()


@pytest.mark.statistical
@pytest.mark.parametrize("tau", [0.02, 0.5])
def test_latents_have_unit_variance_and_their_correlation_time(tau):
    x = draw_latent(Latent(tau, np.ones(1)), 400_000, FRAME, np.random.default_rng(4))
    decay = np.exp(-FRAME / tau)
    # Effective number of independent values of an AR(1): n (1 - a) / (1 + a) for the mean, with a^2 for the variance.
    n_mean, n_var = (x.size * (1 - a) / (1 + a) for a in (decay, decay**2))
    assert x.mean() == pytest.approx(0.0, abs=4 / np.sqrt(n_mean))
    assert x.var() == pytest.approx(1.0, abs=4 * np.sqrt(2 / n_var))
    for lag in (1, round(tau / FRAME)):
        found = np.corrcoef(x[:-lag], x[lag:])[0, 1]
        # The standard error of an autocorrelation of an AR(1) is below that of a mean of its values.
        assert found == pytest.approx(decay**lag, abs=4 / np.sqrt(n_mean))


@pytest.mark.statistical
def test_latents_are_stationary_from_the_start():
    """The first value has unit variance too: over many draws, not along one."""
    first = [draw_latent(Latent(1.0, np.ones(1)), 3, FRAME, np.random.default_rng(s))[:2] for s in range(2000)]
    spread = np.std(first, axis=0)
    assert spread == pytest.approx([1.0, 1.0], abs=4 / np.sqrt(2 * 2000))


def test_sinusoids_have_their_period_and_unit_variance():
    x = draw_latent(Latent(0.5, np.ones(1), process="sinusoid"), 20_000, FRAME, np.random.default_rng(5))
    assert x.var() == pytest.approx(1.0, rel=1e-9)  # 200 whole periods
    spectrum = np.abs(np.fft.rfft(x)) ** 2
    assert np.fft.rfftfreq(x.size, FRAME)[spectrum.argmax()] == pytest.approx(2.0)
    assert spectrum.max() > 0.999 * spectrum.sum()
    np.testing.assert_allclose(x[100:200], x[:100], atol=1e-9)


def test_events_show_their_condition_in_their_frames():
    stimulus = Stimulus((0.01, 0.05, 0.09), 0.02, np.ones((2, 1)), (1, 0, 1))
    shown, events = stimulus_frames(stimulus, 20, FRAME)
    expected = np.zeros((20, 2))
    expected[2:6, 1] = expected[10:14, 0] = 1.0  # the third would end after the run
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_allclose(events, [[0.01, 0.03, 1], [0.05, 0.07, 0]])


def test_events_between_frames_are_refused():
    with pytest.raises(OptionError, match="frames"):
        stimulus_frames(Stimulus((0.0123,), 0.02, np.ones((1, 1))), 20, FRAME)


def test_signals_and_loadings_stand_side_by_side():
    """Drive = bias + state drive + latents + stimuli, times the gain; the truth says what the engine used."""
    rng = np.random.default_rng(0)
    circuit = Circuit(
        (Population("E", 3, bias=[1.0, 2.0, 3.0]),),
        stimuli=(Stimulus((0.1,), 0.1, rng.normal(size=(2, 3)), (1,)), Stimulus((0.2,), 0.1, rng.normal(size=3))),
        latents=(Latent(0.1, rng.normal(size=3)), Latent(1.0, rng.normal(size=3))),
        states=States(2, 0.1, drive=rng.normal(size=(2, 3)), gain=rng.random((2, 3))),
    )
    inputs = draw_inputs(circuit, circuit.network(), 100, np.random.default_rng(1))
    assert inputs.signal.shape == (100, 5)
    drive = np.empty((100, 3))
    for t in range(100):
        for i in range(3):
            x = circuit.populations[0].bias[i] + circuit.states.drive[inputs.state[t], i]
            x += sum(inputs.latent[t, k] * circuit.latents[k].loading[i] for k in range(2))
            x += sum(inputs.stimulus[t, c] * circuit.stimuli[0].tuning[c, i] for c in range(2))
            x += inputs.stimulus[t, 2] * circuit.stimuli[1].tuning[0, i]
            drive[t, i] = x * circuit.states.gain[inputs.state[t], i]
    truth = run(circuit, 0.5, rng=2)["truth"]
    again = draw_inputs(circuit, circuit.network(), 100, np.random.default_rng(2).spawn(2)[0])
    np.testing.assert_array_equal(truth["state"].values, again.state)
    np.testing.assert_array_equal(truth["latent"].values, again.latent)
    inputs_drive = circuit.populations[0].bias + inputs.state_drive[inputs.state] + inputs.signal @ inputs.loading
    np.testing.assert_allclose(inputs_drive * inputs.state_gain[inputs.state], drive, rtol=1e-12)
    np.testing.assert_allclose(inputs.trials, [[0.1, 0.2, 1], [0.2, 0.3, 2]])
    values = circuit.populations[0].bias + again.state_drive[again.state] + again.signal @ again.loading
    np.testing.assert_allclose(truth["drive"].values, values * again.state_gain[again.state], rtol=1e-6)


def test_trials_of_several_stimuli_are_in_order_of_time():
    circuit = Circuit(
        (Population("E", 2),),
        stimuli=(Stimulus((0.3, 0.1), 0.05, np.ones(2)), Stimulus((0.2,), 0.05, np.ones((2, 2)), (1,))),
    )
    trials = run(circuit, 1.0, rng=0)["trials"]
    np.testing.assert_allclose(trials["start"].values, [0.1, 0.2, 0.3])
    assert trials["condition"].values.tolist() == [0, 2, 0]


def test_adding_a_latent_leaves_states_and_other_latents_as_they_are():
    one = Circuit((Population("E", 2),), states=States(2, 0.2), latents=(Latent(1.0, np.ones(2)),))
    two = one.replace(latents=(*one.latents, Latent(0.3, np.ones(2))))
    a, b = (draw_inputs(c, c.network(), 500, np.random.default_rng(3)) for c in (one, two))
    np.testing.assert_array_equal(a.state, b.state)
    np.testing.assert_array_equal(a.latent[:, 0], b.latent[:, 0])


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: States(0), "one state"),
        (lambda: States(2, dwell=0.0), "dwell"),
        (lambda: States(2, dwell=(3.0, 1.0)), "dwell"),
        (lambda: States(2, dwell_shape=0.0), "shape"),
        (lambda: States(2, jump=np.eye(2)), "jump"),
        (lambda: States(2, jump=np.array([[0.0, 0.5], [1.0, 0.0]])), "jump"),
        (lambda: States(3, jump=np.ones((2, 2))), "jump"),
        (lambda: States(2, drive=np.ones((3, 4))), "drive"),
        (lambda: States(2, drive=np.full((2, 4), np.nan)), "drive"),
        (lambda: States(2, gain=-np.ones((2, 4))), "gain"),
        (lambda: States(2, coupling=-np.ones((2, 1, 1))), "coupling"),
        (lambda: Latent(0.0, np.ones(2)), "time constant"),
        (lambda: Latent(1.0, np.array([np.nan])), "loadings"),
        (lambda: Latent(1.0, np.ones(2), process="saw"), "process"),
        (lambda: Stimulus((0.0,), 0.0, np.ones(2)), "duration"),
        (lambda: Stimulus((-1.0,), 1.0, np.ones(2)), "onsets"),
        (lambda: Stimulus((0.0,), 1.0, np.ones(2), (1,)), "conditions"),
        (lambda: Stimulus((0.0, 1.0), 1.0, np.ones(2), (0,)), "one condition per onset"),
        (lambda: Stimulus((0.0,), 1.0, np.full(2, np.inf)), "tuning"),
        (lambda: Modulator(tau=0.0), "time constant"),
        (lambda: Modulator(target_rate=0.0), "target"),
        (lambda: STDP(tau_plus=0.0), "tau_plus"),
        (lambda: STDP(a_minus=-0.1), "a_minus"),
        (lambda: STDP(snapshot=0.0), "snapshot"),
    ],
)
def test_bad_inputs_are_refused(build, match):
    with pytest.raises(OptionError, match=match):
        build()
