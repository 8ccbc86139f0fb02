"""What Spark says when a process was lost, and whether this task is tried again because of it."""

from __future__ import annotations

from pyspark import TaskContext

#: What Spark writes where a Python worker or an executor ended under a task.
SIGNS = (
    "Python worker exited unexpectedly",
    "Python worker failed to connect",
    "ExecutorLostFailure",
    "Connection reset",
    "Broken pipe",
    "java.io.EOFException",
    "java.lang.OutOfMemoryError",
)


def is_retry() -> bool:
    """In a task: whether it was tried before. Whatever ended that attempt may be in its rows."""
    context = TaskContext.get()
    return context is not None and context.attemptNumber() > 0


def was_lost(error: BaseException) -> bool:
    """Whether a job failed because a process was lost, rather than by an error that its code raised."""
    text = str(error)
    return any(sign in text for sign in SIGNS)
