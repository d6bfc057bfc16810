"""The checks of the contract: one module for each stage, on the base in `check`."""
