"""Leakage audit of a labelled audio set: what a score on it would owe to something other than the sound."""

from pipeline.evaluation.audit.run import Report, audit

__all__ = ["Report", "audit"]
