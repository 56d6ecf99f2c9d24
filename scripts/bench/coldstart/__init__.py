"""From exec to the first answer of each function, beside the floor of its libraries."""
