"""Background calls: which models and lanes take them, how long they usually take, and so which way a call takes."""
