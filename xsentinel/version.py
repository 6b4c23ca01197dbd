"""The version, on the lowest floor so that provenance can name it."""

__version__ = "0.1.0"
