"""Traffic: readers of public trace formats and synthetic arrivals."""
