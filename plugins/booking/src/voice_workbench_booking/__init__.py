"""A table by voice: tools that ask before they act."""
