"""What is to be predicted: population, horizon, gap, maturity."""
