"""The spec: tables of the TOML, its loader, its faults, its catalogue."""
