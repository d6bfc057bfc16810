"""The test kit: a virtual clock, scripted providers, synthetic sound. Public: plugin authors use it, and so do we."""
