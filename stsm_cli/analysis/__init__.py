"""Costs, ablations, tables and figures."""
