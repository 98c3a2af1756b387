"""ULMFiT in notebooks: from raw text to a text classifier that explains itself."""
__version__ = "0.1.0"
