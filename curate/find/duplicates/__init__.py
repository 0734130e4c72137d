"""Exact and near duplicates, and leaks."""
