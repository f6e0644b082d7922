"""Readers of files, one a format: a stream of bytes becomes records, one at a time."""
