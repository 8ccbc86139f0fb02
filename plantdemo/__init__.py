"""The demo: a gallery of drawn plant equipment, and the whole chain on it. Not installed."""
