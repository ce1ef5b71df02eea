"""Networks: the shift, the backbones, the TSN head. Knows nothing of data."""
