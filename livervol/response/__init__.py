"""Visits to Response: criteria as data and a small engine, standard library only."""
