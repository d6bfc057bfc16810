"""The pieces of the screen: each has one reactive that goes in, and posts messages out."""
