"""What is made of a recorded session: the same moment again, and what is found out by it."""
