"""Bar: `import neurodata` costs no more than 1.5 times `import numpy`. Fresh interpreters, in turn."""

import statistics
import subprocess
import sys
import time

PAIRS = 15
BAR = 1.5


def seconds(statement: str) -> float:
    """Wall time of a fresh interpreter that runs one statement, start-up included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> int:
    rows = []
    for _ in range(PAIRS + 1):
        empty, ours, numpy = seconds("pass"), seconds("import neurodata"), seconds("import numpy")
        rows.append((empty, ours, numpy))
    rows = rows[1:]  # the first pair warms the file cache
    whole = statistics.median(ours / numpy for _, ours, numpy in rows)
    empty, ours, numpy = (statistics.median(column) for column in zip(*rows, strict=True))
    net = (ours - empty) / (numpy - empty)
    print(f"whole process: neurodata {ours * 1e3:.0f} ms, numpy {numpy * 1e3:.0f} ms, median ratio {whole:.2f}")
    print(
        f"import alone:  neurodata {(ours - empty) * 1e3:.0f} ms, numpy {(numpy - empty) * 1e3:.0f} ms, ratio {net:.2f}"
    )
    print(f"bar {BAR}: {'met' if max(whole, net) <= BAR else 'missed'}")
    return int(max(whole, net) > BAR)


if __name__ == "__main__":
    sys.exit(main())
