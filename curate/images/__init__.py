"""A file → pixels and measurements."""
