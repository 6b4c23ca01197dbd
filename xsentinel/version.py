"""What results say of where they come from, on the lowest floor so that all can."""

__version__ = "0.1.0"

CONVENTIONS = {"Conventions": "CF-1.11"}
"""Attribute of a Dataset that follows CF."""

SOURCE = CONVENTIONS | {"source": "Copernicus Sentinel-2 MSI"}
"""Attributes of maps of Sentinel-2."""
