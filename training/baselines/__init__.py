"""The peers that every model is compared with."""
