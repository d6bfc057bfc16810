"""What a screen shows of a session, as pure folds over the trace: no front end here, so that each may use them."""
