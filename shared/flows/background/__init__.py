"""What is learned of background calls: which models and lanes take them, and how long they usually take."""
