"""Large jobs: a lazy expression to a finished store, block by block, restartable and verified."""
