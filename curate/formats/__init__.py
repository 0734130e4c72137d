"""One file per way in which samples, annotations and versions are written down."""
