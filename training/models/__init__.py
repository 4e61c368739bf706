"""LightGBM models, their encoding, calibration and explanation."""
