"""What to log, as values; and the sink that writes it to MLflow."""
