"""The engine: from captured sound to played sound. Read `pipeline` first."""
