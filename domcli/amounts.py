"""How amounts are written for people: shares, times, dates. Whatever a damaged record holds can be written."""
