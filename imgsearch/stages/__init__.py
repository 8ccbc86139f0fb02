"""One file a stage. Each joins ``core`` and ``lake`` and has two public functions: frames → frame, and ``run``."""
