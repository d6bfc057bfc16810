"""What every front end draws with: the palette, HTML and figures."""
