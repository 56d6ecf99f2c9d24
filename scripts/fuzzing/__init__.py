"""Fuzzing of every door: rubbish goes in, and a crash, a loss, a leak or an unbounded memory is a finding."""
