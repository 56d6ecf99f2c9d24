"""Kill -9 under load, and an independent account of what it cost."""
