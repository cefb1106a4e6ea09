"""Readers of public trace formats: one file a format, and what they share."""
