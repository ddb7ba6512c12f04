"""Vendors' wire formats without any web framework: requests into records, results into bodies.

What a synchronous route answers and what a file of requests holds are made by the same functions.
"""
