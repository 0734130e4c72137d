"""Predictions against labels → scores."""
