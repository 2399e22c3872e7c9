"""Many visits: a process pool, a dask scheduler or array shards; each visit once, whatever happens on the way."""

from livervol.batch.coordinator import BatchReport, BatchSettings, run_batch
from livervol.batch.discovery import discover
from livervol.batch.task import TaskSettings
from livervol.batch.visits import VisitTable, read_visits

__all__ = ["BatchReport", "BatchSettings", "TaskSettings", "VisitTable", "discover", "read_visits", "run_batch"]
