"""Visits per hour of a cluster, from what one visit costs on one core and four assumptions that are printed with it.

python benchmarks/batch_projection.py [--cpu-seconds S] [--nodes 100] ...
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """What is assumed; every field can be measured on the cluster itself before it is believed."""

    nodes: int = 100
    cores: int = 32
    memory_gb: float = 128.0
    storage_mb_s: float = 2000.0  # shared file system, all nodes together
    records_s: float = 30.0  # visits the coordinator can take in each second (ledger write and reading of the numbers)


@dataclass(frozen=True)
class VisitCost:
    """One visit on one core of the machine it was measured on."""

    cpu_s: float
    peak_gb: float
    read_mb: float
    write_mb: float
    crowding: float = 1.5  # how much slower a core is when all cores of its node share one memory bus


def workers(cluster: Cluster, visit: VisitCost) -> int:
    """Workers that fit: one per core, fewer where memory ends first (four fifths of it are used)."""
    return cluster.nodes * max(1, min(cluster.cores, int(0.8 * cluster.memory_gb / visit.peak_gb)))


def limits_per_hour(cluster: Cluster, visit: VisitCost) -> dict[str, float]:
    """Visits per hour each part alone would allow; the cluster does the least of them."""
    return {
        "cores": 3600 * workers(cluster, visit) / (visit.cpu_s * visit.crowding),
        "storage": 3600 * cluster.storage_mb_s / (visit.read_mb + visit.write_mb),
        "coordinator": 3600 * cluster.records_s,
    }


def hours(visits: int, patients: int, cluster: Cluster, visit: VisitCost) -> float:
    """Time for a study. Visits of one patient follow each other, so a study is never faster than its longest course."""
    longest = 3 * visits / patients  # a patient with three times the average number of visits
    pace = min(limits_per_hour(cluster, visit).values())
    return max(visits / pace, longest * visit.cpu_s * visit.crowding / 3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="of one visit on one core")
    parser.add_argument("--peak-gb", type=float, default=3.0)
    parser.add_argument("--read-mb", type=float, default=350.0)
    parser.add_argument("--write-mb", type=float, default=250.0)
    parser.add_argument("--crowding", type=float, default=1.5)
    for name, default in (("nodes", 100), ("cores", 32), ("visits", 3000), ("patients", 800)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory-gb", type=float, default=128.0)
    parser.add_argument("--storage-mb-s", type=float, default=2000.0)
    parser.add_argument("--records-s", type=float, default=30.0)
    a = parser.parse_args()
    cluster = Cluster(a.nodes, a.cores, a.memory_gb, a.storage_mb_s, a.records_s)
    visit = VisitCost(a.cpu_seconds, a.peak_gb, a.read_mb, a.write_mb, a.crowding)
    print(cluster, visit, sep="\n")
    print(f"{workers(cluster, visit)} workers")
    for name, limit in limits_per_hour(cluster, visit).items():
        print(f"{name}: {limit:,.0f} visits/h")
    took = hours(a.visits, a.patients, cluster, visit)
    print(f"{a.visits} visits of {a.patients} patients: {60 * took:.0f} minutes")


if __name__ == "__main__":
    main()
