"""A recording as one HTML file: to be heard, looked at and sent to somebody who has no workbench."""
