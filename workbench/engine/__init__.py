"""The engine: from sound heard to sound played. Read `pipeline` first."""
