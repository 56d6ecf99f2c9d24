"""Adapters: each speaks one technology for one port. Only they import `google.*`, `sqlite3`, `obstore` and `httpx2`.

An adapter turns what the technology does into our values and errors; it decides nothing. Packages do not import each
other, with the exceptions that `lint-imports` lists.
"""
