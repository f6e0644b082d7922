"""Proofs that a run computes what it says: each compares two ways to the same numbers."""
