"""The feature store: definitions, point-in-time retrieval and online reads, on Feast.

Only this room imports Feast, and nothing here imports it on the way in: take
``features.store.definitions`` for the declarations (no Feast) and
``features.store.repository`` for the store itself (imports Feast, some seconds).
"""
