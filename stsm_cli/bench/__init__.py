"""Measurements of speed and memory: of the shift, of reading videos, of training."""
