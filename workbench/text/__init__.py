"""From written text to what a voice reads aloud: sentences, numbers, and what is only for the eye."""
