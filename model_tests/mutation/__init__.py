"""Mutants: small defects that somebody could write, each put into a copy of the tree, where a quick check must find it.

`catalogue/` has the mutants by topic, `_checks.py` the checks, `_run.py` tries one on the other; `make mutants` does.
"""
