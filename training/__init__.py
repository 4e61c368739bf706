"""Models that earned their place: labels, frames, fits, gates, registry."""
