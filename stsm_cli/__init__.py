"""STSM, the spatio-temporal shift module: a command-line suite that reproduces the paper."""

__version__ = "0.23.0"
