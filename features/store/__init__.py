"""The feature store: definitions, point-in-time retrieval and online reads, on Feast.

Only this package imports Feast, and only where needed: import
``features.store.definitions`` for the declarations (no Feast) and
``features.store.repository`` for the store itself (imports Feast, some seconds).
"""
