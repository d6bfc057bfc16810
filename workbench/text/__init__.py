"""Written text made speakable: sentences, numbers, markup."""
