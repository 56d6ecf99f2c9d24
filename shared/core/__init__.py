"""Pure decisions: no input or output, no clock, no chance, no environment. What they need is an argument.

Each package states its rule. An import goes down only: `lint-imports` keeps it, docs/architecture.md draws it.
"""
