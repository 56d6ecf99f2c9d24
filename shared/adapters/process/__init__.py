"""What adapters need of their own process and machine: its clock, threads, memory, proxies and files."""
