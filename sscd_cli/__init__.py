"""Find edited copies in image datasets with SSCD descriptors."""

__version__ = "0.1.0"
