"""Networks: what they are, where their weights come from, how they run."""
