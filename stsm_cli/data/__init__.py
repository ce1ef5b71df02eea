"""Videos: manifests, decoding, sampling, crops, batches. Knows nothing of models."""
