"""Pages, pictures and terminal tables for people: reads plain frames, knows neither Spark nor the encoder."""
