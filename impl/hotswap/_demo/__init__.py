"""`hotswap demo`: a plugin computes checksums of real files, is upgraded meanwhile, and every answer is checked."""

from hotswap._demo._load import read_samples
from hotswap._demo._run import Settings, run_demo

__all__ = ["Settings", "read_samples", "run_demo"]
