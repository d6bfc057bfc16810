"""What runs inside worker processes: the framing of their pipes, their main loop, and a module for each model."""
