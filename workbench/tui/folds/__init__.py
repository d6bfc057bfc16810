"""What the screen shows, as pure folds over the trace: no Textual here, so that each is read and tested by itself."""
