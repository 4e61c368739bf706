"""The two pipelines of the package: feeds to one customer, and one customer to features in Feast."""
