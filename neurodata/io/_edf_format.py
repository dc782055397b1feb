"""The bytes of EDF, EDF+, BDF and BDF+: header, data records, annotations.

Layout from the published formats: B. Kemp et al. (1992), doi:10.1016/0013-4694(92)90009-7 (EDF); B. Kemp and
J. Olivan (2003), doi:10.1016/S1388-2457(03)00123-8 (EDF+); BDF is EDF with samples of 24 bits (BioSemi).
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodata.errors import FormatError, MissingOptionError

EDF_MAGIC = b"0       "
BDF_MAGIC = b"\xffBIOSEMI"
_MAIN_BYTES = 256
# Widths of the fields that come once per signal, in the order of the file.
_SIGNAL_FIELDS = (
    ("label", 16),
    ("transducer", 80),
    ("dimension", 8),
    ("physical_min", 8),
    ("physical_max", 8),
    ("digital_min", 8),
    ("digital_max", 8),
    ("prefilter", 80),
    ("samples", 8),
    ("reserved", 32),
)
_ANNOTATION_LABELS = ("EDF Annotations", "BDF Annotations")
# Records are read in blocks of about this many bytes.
_BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class Signal:
    """One signal of the header; offsets in bytes from the start of a data record."""

    label: str
    transducer: str
    dimension: str
    physical_min: float
    physical_max: float
    digital_min: float
    digital_max: float
    prefilter: str
    samples: int
    offset: int

    @property
    def is_annotation(self) -> bool:
        """Whether it carries annotations, no samples."""
        return self.label in _ANNOTATION_LABELS

    @property
    def calibration(self) -> tuple[float, float]:
        """Gain and offset from digital to physical values; NaN when the header states an empty range."""
        span = self.digital_max - self.digital_min
        if span == 0 or self.physical_max == self.physical_min:
            return np.nan, np.nan
        gain = (self.physical_max - self.physical_min) / span
        return gain, self.physical_min - self.digital_min * gain


@dataclass(frozen=True)
class Header:
    """What an EDF or BDF file says of itself."""

    sample_bytes: int
    patient: str
    recording: str
    start: datetime.datetime | None
    header_bytes: int
    reserved: str
    n_records: int
    record_s: float
    signals: tuple[Signal, ...]

    @property
    def record_bytes(self) -> int:
        """Size of one data record."""
        return self.sample_bytes * sum(signal.samples for signal in self.signals)


def text_of(raw: bytes, encoding: str, what: str) -> str:
    """Text of a field; the format says ASCII (UTF-8 in annotations), other encodings must be named."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise MissingOptionError(
            f"{what} in {encoding}", repr(raw.strip(b" \x00"))[:80], "name the encoding, e.g. encoding='latin-1'"
        ) from None


def _number(raw: bytes, what: str, name: str) -> float:
    text = raw.decode("latin-1").strip(" \x00").replace(",", ".")
    try:
        return float(text)
    except ValueError:
        raise FormatError(
            f"an EDF or BDF header with a number as {what}", f"{text!r} in {name}", "the header is damaged"
        ) from None


def read_header(path: Path, encoding: str) -> Header:
    """Parse the header of a file; every field it cannot do without is checked."""
    if not path.is_file():
        raise FormatError("an EDF or BDF file", f"{path.name} is a folder", "name the file")
    with open(path, "rb") as file:
        main = file.read(_MAIN_BYTES)
        if not main.startswith((EDF_MAGIC, BDF_MAGIC)):
            raise FormatError(
                "an EDF or BDF file",
                f"{path.name} starts with {main[:8]!r}",
                "nd.load without reader= finds the reader",
            )
        if len(main) < _MAIN_BYTES:
            raise FormatError(
                f"an EDF header of {_MAIN_BYTES} bytes", f"{path.name} has {len(main)} bytes", "the file was cut short"
            )
        n_signals = int(_number(main[252:256], "the number of signals", path.name))
        rest = file.read(_MAIN_BYTES * max(n_signals, 0))
    if n_signals < 1 or len(rest) < _MAIN_BYTES * n_signals:
        raise FormatError(
            f"a header of {_MAIN_BYTES * (n_signals + 1)} bytes for {n_signals} signals",
            f"{path.name} has {_MAIN_BYTES + len(rest)} bytes",
            "the file was cut short; copy it again",
        )
    sample_bytes = 3 if main.startswith(BDF_MAGIC) else 2
    return Header(
        sample_bytes=sample_bytes,
        patient=main[8:88].decode("latin-1").strip(" \x00"),
        recording=main[88:168].decode("latin-1").strip(" \x00"),
        start=_start(main),
        header_bytes=int(_number(main[184:192], "the size of the header", path.name)),
        reserved=main[192:236].decode("latin-1").strip(" \x00"),
        n_records=int(_number(main[236:244], "the number of data records", path.name)),
        record_s=_number(main[244:252], "the duration of a data record", path.name),
        signals=_signals(rest, n_signals, sample_bytes, encoding, path.name),
    )


def _signals(rest: bytes, n: int, sample_bytes: int, encoding: str, name: str) -> tuple[Signal, ...]:
    columns: dict[str, list[bytes]] = {}
    at = 0
    for field, width in _SIGNAL_FIELDS:
        columns[field] = [rest[at + i * width : at + (i + 1) * width] for i in range(n)]
        at += n * width
    signals, offset = [], 0
    for i in range(n):
        label = text_of(columns["label"][i], encoding, "channel labels").strip(" \x00")
        limits = {
            field: _number(columns[field][i], f"{field} of {label!r}", name) if label not in _ANNOTATION_LABELS else 0.0
            for field in ("physical_min", "physical_max", "digital_min", "digital_max")
        }
        samples = int(_number(columns["samples"][i], f"the samples per record of {label!r}", name))
        if samples < 0:
            raise FormatError("samples per record, 0 or more", f"{samples} for {label!r}", "the header is damaged")
        signals.append(
            Signal(
                label=label,
                transducer=columns["transducer"][i].decode("latin-1").strip(" \x00"),
                # The micro sign is one byte in Latin-1 and two in UTF-8; both are found in files.
                dimension=_micro(columns["dimension"][i]),
                prefilter=columns["prefilter"][i].decode("latin-1").strip(" \x00"),
                samples=samples,
                offset=offset,
                **limits,
            )
        )
        offset += samples * sample_bytes
    return tuple(signals)


def _micro(raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip(" \x00")
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip(" \x00")


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def _start(main: bytes) -> datetime.datetime | None:
    """Start of the recording in its own local time; None when the header has none. EDF+ repeats it with a full year."""
    clock = re.fullmatch(r"(\d\d)[.:](\d\d)[.:](\d\d)", main[176:184].decode("latin-1").strip())
    day = re.fullmatch(r"(\d\d)[.:/-](\d\d)[.:/-](\d\d)", main[168:176].decode("latin-1").strip())
    if clock is None or day is None:
        return None
    date = (int(day[3]) + (1900 if int(day[3]) >= 85 else 2000), int(day[2]), int(day[1]))
    full = re.match(r"Startdate (\d\d)-([A-Z]{3})-(\d{4})", main[88:168].decode("latin-1"))
    if full and full[2] in _MONTHS:
        date = (int(full[3]), _MONTHS.index(full[2]) + 1, int(full[1]))
    try:
        return datetime.datetime(*date, int(clock[1]), int(clock[2]), int(clock[3]))
    except ValueError:
        return None


@dataclass(frozen=True)
class RecordSource:
    """Samples of the signals of one rate, read from the data records when asked. Keeps no open file, so it pickles."""

    path: Path
    header_bytes: int
    record_bytes: int
    sample_bytes: int
    samples: int
    offsets: tuple[int, ...]
    gains: tuple[float, ...]
    shifts: tuple[float, ...]
    n_records: int

    @property
    def n_samples(self) -> int:
        """Samples of the whole file."""
        return self.n_records * self.samples

    @property
    def n_channels(self) -> int:
        """Signals of this rate."""
        return len(self.offsets)

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        """Samples `start` to `stop` of `channels`, (stop - start, channels.size), in the unit of the node."""
        values = np.empty((stop - start, channels.size))
        if not values.size:
            return values
        length = self.samples * self.sample_bytes
        wide = self.record_bytes > _BLOCK_BYTES
        per_block = 1 if wide else _BLOCK_BYTES // self.record_bytes
        with open(self.path, "rb", buffering=0) as file:
            for first in range(start // self.samples, -(-stop // self.samples), per_block):
                n = min(per_block, -(-stop // self.samples) - first)
                low, high = max(start, first * self.samples), min(stop, (first + n) * self.samples)
                inside = slice(low - first * self.samples, high - first * self.samples)
                block = b"" if wide else self._bytes(file, first, 0, n * self.record_bytes)
                for column, channel in enumerate(channels):
                    offset = self.offsets[channel]
                    if wide:
                        digital = _digital(self._bytes(file, first, offset, length), self.sample_bytes)
                    else:
                        records = np.frombuffer(block, np.uint8).reshape(n, self.record_bytes)
                        digital = _digital(records[:, offset : offset + length].tobytes(), self.sample_bytes)
                    values[low - start : high - start, column] = (
                        digital[inside] * self.gains[channel] + self.shifts[channel]
                    )
        return values

    def _bytes(self, file, record: int, offset: int, n: int) -> bytes:
        file.seek(self.header_bytes + record * self.record_bytes + offset)
        parts, missing = [], n
        while missing:
            part = file.read(missing)
            if not part:
                raise FormatError(
                    f"{n} bytes of data record {record}", f"{self.path.name} ends before", "the file was cut short"
                )
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def _digital(raw: bytes, sample_bytes: int) -> np.ndarray:
    """Integers of 16 or 24 bits, little-endian, signed."""
    if sample_bytes == 2:
        return np.frombuffer(raw, "<i2")
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    return wide.view("<i4")[:, 0] >> 8


@dataclass(frozen=True)
class Annotations:
    """Annotations of a file, and the start of each data record where the file states it (else NaN)."""

    onset: np.ndarray
    duration: np.ndarray
    text: list[str]
    record_start: np.ndarray
    unreadable: list[str]


_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15\+?(\d+(?:\.\d*)?))?\x14")


def read_annotations(path: Path, header: Header, n_records: int, encoding: str) -> Annotations:
    """Read the annotation signals alone: onset and duration in s from the start in the header."""
    signals = [signal for signal in header.signals if signal.is_annotation]
    onset: list[float] = []
    duration: list[float] = []
    text: list[str] = []
    unreadable: list[str] = []
    start = np.full(n_records, np.nan)
    with open(path, "rb") as file:
        for record in range(n_records if signals else 0):
            for number, signal in enumerate(signals):
                file.seek(header.header_bytes + record * header.record_bytes + signal.offset)
                raw = file.read(signal.samples * header.sample_bytes)
                for position, item in enumerate(filter(None, raw.split(b"\x00"))):
                    match = _TAL.match(item)
                    if match is None:
                        unreadable.append(f"{item[:40]!r} in data record {record}")
                        continue
                    texts = item[match.end() :].split(b"\x14")
                    if number == 0 and position == 0 and texts[0] == b"":
                        start[record] = float(match[1])
                    for words in texts:
                        if words:
                            onset.append(float(match[1]))
                            duration.append(float(match[2] or 0.0))
                            text.append(text_of(words, encoding, "annotations"))
    return Annotations(np.array(onset), np.array(duration), text, start, unreadable)
