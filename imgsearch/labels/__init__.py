"""What people say of images: names, truth, known pairs; the jobs `label`, `evaluate`, `calibrate`."""
