"""The demo's drawn gallery: plant equipment as an inspector's phone would see it."""
