"""Whether two pictures show the same pixels: local features, a similarity by RANSAC, and the pictures laid over."""
