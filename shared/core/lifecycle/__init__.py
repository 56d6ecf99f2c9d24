"""The request document and its legal changes, from the first attempt to the receipt."""
