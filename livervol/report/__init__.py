"""Visits, courses and cohorts as pages and figures."""
