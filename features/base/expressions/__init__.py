"""The one small SQL dialect of all configuration files: parsed, checked against a list, and evaluated."""
