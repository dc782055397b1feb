"""The registry, the embedded examples, the mirror, and the download against a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib.util
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neurodata as nd
from neurodata import datasets
from neurodata.errors import DownloadError, FormatError, MissingOptionError, OptionError

CONTENT = b"id,start,stop\n1,0.0,1.0\n2,2.0,3.0\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    requests: list[str] = []

    def log_message(self, *args):
        self.requests.append(self.path)


@pytest.fixture
def server(tmp_path):
    """A server of a folder on the loopback; gives its URL, the folder, and the list of requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    _Quiet.requests = []
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder, _Quiet.requests
        running.shutdown()
        thread.join()


@pytest.fixture
def public(monkeypatch, tmp_path):
    """Add one public recording of one file to the registry, with an empty cache and no mirror."""
    monkeypatch.setenv(datasets.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(datasets.MIRROR_VARIABLE, raising=False)

    def add(url: str, **changes):
        made = datasets.Entry(
            name="trials_online",
            title="",
            modality="trials",
            licence="MIT",
            citation="",
            reader="table",
            url=url,
            open="trials.csv",
            mirror="trials/online",
            files=(datasets.File("trials.csv", len(CONTENT), DIGEST),),
        )
        made = replace(made, **changes)
        monkeypatch.setattr(datasets, "_registry", lambda: {made.name: made})
        return tmp_path / "cache"

    return add


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_every_embedded_file_has_the_size_and_sum_of_the_registry():
    embedded = [datasets.entry(name) for name in datasets.names() if datasets.entry(name).url == datasets.EMBEDDED]
    assert [entry.name for entry in embedded] == ["example_spikes", "example_calcium", "example_eeg"]
    for entry in embedded:
        folder = datasets._data_folder() / "examples" / entry.name
        assert {path.relative_to(folder).as_posix() for path in _files(folder)} == {file.path for file in entry.files}
        for file in entry.files:
            assert (folder / file.path).stat().st_size == file.size
            assert hashlib.sha256((folder / file.path).read_bytes()).hexdigest() == file.sha256
    assert sum(entry.size for entry in embedded) < 3e6


def test_every_entry_is_complete_and_openly_licensed():
    open_licences = {"BSD-3-Clause", "MIT", "ODC-By-1.0"}
    readers = set(nd.io.readers().index)
    for name in datasets.names():
        entry = datasets.entry(name)
        assert entry.licence in open_licences
        assert entry.citation
        assert entry.title
        assert entry.reader in readers
        assert entry.url == datasets.EMBEDDED or entry.url.startswith("https://")
        assert all(len(file.sha256) == 64 and file.size > 0 for file in entry.files)
        if entry.open:
            assert entry.open in {file.path for file in entry.files}
    assert list(datasets.table().index) == datasets.names()


def test_example_spikes_are_what_the_numpy_files_hold():
    folder = datasets.path("example_spikes")
    sample, cluster = np.load(folder / "spike_times.npy"), np.load(folder / "spike_clusters.npy")
    spikes = datasets.load("example_spikes")["spikes"]
    assert spikes.sizes["unit"] == 30
    for row, unit in enumerate(spikes["unit"].values):
        got = spikes["spike_time"].values[spikes["spike_unit"].values == row]
        np.testing.assert_array_equal(got, sample[cluster == unit] / 30_000.0)
        assert np.diff(got).min() > 0.002  # the absolute refractory time that was put in


def test_example_calcium_is_what_the_numpy_files_hold():
    folder = datasets.path("example_calcium") / "suite2p" / "plane0"
    calcium = datasets.load("example_calcium")["calcium"]
    np.testing.assert_array_equal(calcium["fluorescence"].values, np.load(folder / "F.npy").T)
    np.testing.assert_array_equal(calcium["deconvolved"].values, np.load(folder / "spks.npy").T)
    np.testing.assert_allclose(calcium["time"].values, np.arange(3000) / 10.0, atol=1e-9)
    assert int(calcium["is_cell"].sum()) == 33


def test_example_eeg_keeps_the_slash_and_the_cues():
    recording = datasets.load("example_eeg")
    assert recording["eeg"]["channel"].values[-1] == "EOG L/R"
    assert recording["eeg"]["ch_type"].values[-1] == "eog"
    kinds, number = np.unique(recording["events"]["description"].values, return_counts=True)
    assert dict(zip(kinds.tolist(), number.tolist(), strict=True)) == {"cue/left": 20, "cue/right": 20}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(OptionError, match="example_spikes"):
        datasets.path("nothing")


def test_options_of_the_caller_win(monkeypatch):
    calcium = datasets.load("example_calcium", sampling_rate=20.0)["calcium"]
    assert float(calcium["time"][-1]) == pytest.approx(2999 / 20.0)


def test_a_download_is_checked_cached_and_not_repeated(server, public):
    url, folder, requests = server
    (folder / "trials.csv").write_bytes(CONTENT)
    public(url)
    first = datasets.path("trials_online")
    assert first.read_bytes() == CONTENT
    assert requests == ["/trials.csv"]
    assert datasets.path("trials_online") == first
    assert requests == ["/trials.csv"]


def test_a_damaged_file_in_the_cache_is_fetched_again(server, public):
    url, folder, requests = server
    (folder / "trials.csv").write_bytes(CONTENT)
    public(url)
    cached = datasets.path("trials_online")
    cached.write_bytes(CONTENT[:-3])
    assert datasets.path("trials_online").read_bytes() == CONTENT
    assert len(requests) == 2


def test_a_download_with_another_sum_is_an_error_and_is_not_kept(server, public):
    url, folder, _ = server
    (folder / "trials.csv").write_bytes(CONTENT + b"3,4.0,5.0\n")
    cache = public(url)
    with pytest.raises(FormatError, match=DIGEST):
        datasets.path("trials_online")
    assert _files(cache) == []


def test_a_file_the_server_does_not_have_is_a_download_error(server, public):
    url, _, _ = server
    cache = public(url)
    with pytest.raises(DownloadError, match="404"):
        datasets.path("trials_online")
    assert _files(cache) == []


def test_no_connection_is_a_download_error(public):
    cache = public("http://127.0.0.1:9")  # the discard port: nothing listens there
    with pytest.raises(DownloadError, match=datasets.MIRROR_VARIABLE):
        datasets.path("trials_online")
    assert _files(cache) == []


def test_a_file_under_another_name_at_the_source(server, public):
    url, folder, requests = server
    (folder / "raw").mkdir()
    (folder / "raw" / "t.csv").write_bytes(CONTENT)
    public(url, files=(datasets.File("trials.csv", len(CONTENT), DIGEST, source="raw/t.csv"),))
    assert datasets.path("trials_online").name == "trials.csv"
    assert requests == ["/raw/t.csv"]


def test_the_mirror_comes_first_and_is_checked(server, public, monkeypatch, tmp_path):
    url, _, requests = server
    public(url)
    mirror = tmp_path / "mirror" / "trials" / "online"
    mirror.mkdir(parents=True)
    (mirror / "trials.csv").write_bytes(CONTENT)
    monkeypatch.setenv(datasets.MIRROR_VARIABLE, str(tmp_path / "mirror"))
    assert datasets.path("trials_online") == mirror / "trials.csv"
    assert requests == []
    (mirror / "trials.csv").write_bytes(CONTENT.replace(b"1", b"7"))
    with pytest.raises(FormatError, match=datasets.MIRROR_VARIABLE):
        datasets.path("trials_online")


def test_a_mirror_without_the_file_is_passed_over(server, public, monkeypatch, tmp_path):
    url, folder, requests = server
    (folder / "trials.csv").write_bytes(CONTENT)
    public(url)
    monkeypatch.setenv(datasets.MIRROR_VARIABLE, str(tmp_path))
    assert datasets.path("trials_online").read_bytes() == CONTENT
    assert requests == ["/trials.csv"]


@pytest.mark.parametrize("name", [name for name in datasets.names() if datasets.entry(name).mirror])
def test_the_sums_of_public_recordings_are_those_of_the_mirror(real_path, name):
    entry = datasets.entry(name)
    folder = real_path(entry.mirror)
    for file in entry.files:
        assert datasets.sha256(folder / file.path) == file.sha256
        assert (folder / file.path).stat().st_size == file.size
    if entry.needs:
        with pytest.raises(MissingOptionError, match=entry.needs[0]):
            datasets.load(name)
    else:
        assert datasets.load(name).children


@pytest.mark.slow
def test_the_committed_script_makes_the_examples(tmp_path):
    script = datasets._data_folder() / "make_examples.py"
    spec = importlib.util.spec_from_file_location("make_examples", script)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.make_all(tmp_path)
    examples = datasets._data_folder() / "examples"
    assert {p.relative_to(tmp_path) for p in _files(tmp_path)} == {p.relative_to(examples) for p in _files(examples)}
    for path in _files(tmp_path):
        committed = examples / path.relative_to(tmp_path)
        if path.suffix == ".npy":
            new, old = np.load(path), np.load(committed)
            assert new.dtype == old.dtype
            # Equal on one machine; another one's exp may differ in the last place and move a rounded value by one step.
            np.testing.assert_allclose(new, old, rtol=1e-5, atol=0.11)
        elif path.suffix == ".edf":
            new, old = nd.load(path), nd.load(committed)
            np.testing.assert_allclose(new["eeg"]["signal"].values, old["eeg"]["signal"].values, atol=2e-8)
            assert new["events"].to_dataset().equals(old["events"].to_dataset())
        else:
            assert path.read_text() == committed.read_text()
