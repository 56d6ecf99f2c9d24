"""Background calls: which models and lanes accept them, how long they usually take, and how each attempt is called."""
