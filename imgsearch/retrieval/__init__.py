"""Queries against a gallery: the broadcast top-k join; the job `search`."""
