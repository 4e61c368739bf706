"""The floor: errors, settings, storage, engine, expressions."""
