"""Copies and near-copies; the job `dedup`."""
