"""Model weights: which there are (`manifest`), where they come from (`fetch`), where they lie (`store`)."""
