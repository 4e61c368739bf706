"""Named checks on what the feeds say."""
