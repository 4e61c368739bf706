"""Named checks on the loads of the feeds."""
