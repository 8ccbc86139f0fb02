"""From files to pixels: sources, headers, decoding, quality; the job `ingest`."""
