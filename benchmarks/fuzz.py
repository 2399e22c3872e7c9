"""Damaged input by the hundred thousand: every one is read or refused in one sentence, quickly and in little memory.

    python benchmarks/fuzz.py --count 15000 [--family nifti ...] [--first 0] [--out findings.json]

Each family runs in child processes of a few thousand inputs with 2 GB of address space, so that a crash of the
interpreter is a finding like a traceback; so is an input that takes ten seconds of processor time, or a minute on the
clock (a busy machine is no hang). Warnings count as findings. A finding names family and number, which make the same
input again.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

MEMORY_BYTES = 2 << 30
HANG_SECONDS = 10.0
WAITING_SECONDS = 60.0
CHUNK = 2500


class HangError(BaseException):
    """An input took too long; no reader may catch it."""


def _ring(signum: int, frame: object) -> None:
    raise HangError


def _one(family, path: Path) -> str:
    """What became of one input: read, refused, or the words of a finding."""
    from livervol.errors import LivervolError

    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS)
    try:
        family.read(path)
    except LivervolError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < 2000 else f"long refusal: {str(error)[:300]}"
    except HangError:
        return "hang: " + traceback.format_exc(limit=-3)
    except Exception:  # noqa: BLE001 - whatever else comes out is what is looked for
        return "finding: " + traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def child(name: str, first: int, count: int, journal: Path) -> None:
    """Run some inputs of one family; the journal holds the number under way and every finding."""
    from fuzz_families import FAMILIES

    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGPROF, _ring)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    told: Counter[str] = Counter()
    slowest = 0.0
    with journal.open("w", encoding="utf-8") as lines:
        for number in range(first, first + count):
            lines.seek(0)
            lines.write(f"{number:012d}\n")
            lines.flush()
            with TemporaryDirectory() as place:
                path = FAMILIES[name].case(number, Path(place))
                began = time.process_time()
                word = _one(FAMILIES[name], path)
                slowest = max(slowest, time.process_time() - began)
            told[word if word in ("read", "refused") else "findings"] += 1
            if word not in ("read", "refused"):
                print(json.dumps({"family": name, "number": number, "what": word}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"counts": told, "slowest_s": round(slowest, 2), "peak_mb": round(peak)}), flush=True)


def run(names: list[str], first: int, count: int) -> tuple[list[dict], dict]:
    """Every family in chunks; findings and the counts per family."""
    findings: list[dict] = []
    totals: dict[str, dict] = {}
    for name in names:
        total = totals[name] = {"read": 0, "refused": 0, "findings": 0, "slowest_s": 0.0, "peak_mb": 0, "wall_s": 0.0}
        began = time.monotonic()
        for start in range(first, first + count, CHUNK):
            size = min(CHUNK, first + count - start)
            with TemporaryDirectory() as place:
                journal = Path(place) / "journal"
                command = [sys.executable, __file__, "--child", name, "--first", str(start), "--count", str(size)]
                done = subprocess.run(
                    [*command, "--journal", str(journal)], capture_output=True, text=True, check=False
                )
                reached = int(journal.read_text(encoding="utf-8")[:12]) if journal.is_file() else start
            told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            new = [entry for entry in told if "what" in entry]
            for entry in new:
                print(entry["family"], entry["number"], entry["what"], flush=True)
            findings += new
            closing = next((entry for entry in told if "counts" in entry), None)
            if closing is None:
                what = f"crash: exit {done.returncode}: {done.stderr[-600:]}"
                findings.append({"family": name, "number": reached, "what": what})
                print(name, reached, what, flush=True)
                total["findings"] += 1
                continue
            for key, number in closing["counts"].items():
                total[key] += number
            total["slowest_s"] = max(total["slowest_s"], closing["slowest_s"])
            total["peak_mb"] = max(total["peak_mb"], closing["peak_mb"])
        total["wall_s"] = round(time.monotonic() - began, 1)
        print(f"{name:16s} {json.dumps(total)}", flush=True)
    return findings, totals


def main() -> int:
    """Parse, run, print; exit 1 when there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append")
    parser.add_argument("--count", type=int, default=1000, help="inputs per family")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--journal", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.first, asked.count, asked.journal)
        return 0
    from fuzz_families import FAMILIES

    findings, totals = run(asked.family or list(FAMILIES), asked.first, asked.count)
    inputs = sum(t["read"] + t["refused"] + t["findings"] for t in totals.values())
    print(f"{inputs} inputs, {len(findings)} findings")
    if asked.out:
        asked.out.write_text(json.dumps({"inputs": inputs, "families": totals, "findings": findings}, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
