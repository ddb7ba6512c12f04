"""Other vendors' wire formats, spoken exactly; all share submit, wait and the errors."""
