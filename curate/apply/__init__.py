"""Decisions → a new version of the data set: what to do with each sample, the manifest, the export."""
