"""Scores that say how sure they are: metrics, intervals, comparison, golden files."""
