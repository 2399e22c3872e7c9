"""Visits to Response: criteria as data and a small engine, standard library only."""

from livervol.response.assess import CRITERIA, assess, rules

__all__ = ["CRITERIA", "assess", "rules"]
