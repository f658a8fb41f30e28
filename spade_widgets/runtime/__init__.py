"""What panels share: the worker, the store, the session."""
