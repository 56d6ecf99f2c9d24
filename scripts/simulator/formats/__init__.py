"""The APIs' own words: requests are read here, answers and problems are written here."""
