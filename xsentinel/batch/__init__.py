"""Large jobs: a lazy expression to a finished store, block by block, restartable and verified."""

from xsentinel.batch.run import Plan, plan, run, verify
from xsentinel.batch.store import Store

__all__ = ["Plan", "Store", "plan", "run", "verify"]
