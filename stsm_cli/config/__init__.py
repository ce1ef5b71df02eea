"""Recipes: their schema, loading and overrides. No torch in here."""
