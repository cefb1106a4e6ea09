"""apexopt: the best way to serve a language model, proved and simulated."""

from apex_opt.version import VERSION as __version__

__all__ = ["__version__"]
