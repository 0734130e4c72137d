"""Label errors: a probe's predictions and a model of how people err."""
