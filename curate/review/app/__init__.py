"""Review in the FiftyOne App."""
