"""From raw downloads to manifests: what is there, what decodes, what is missing."""
