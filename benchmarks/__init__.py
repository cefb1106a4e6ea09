"""Drivers over fixed cases: each prints one JSON line a case, and a summary as the last line."""
