"""Tables → one self-contained HTML page that a person likes to look at."""
