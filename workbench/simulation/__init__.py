"""A virtual clock, scripted providers, synthetic speech and faults: whole conversations without a device or a model."""
