"""What each command does, as a function from its options to a result; nothing is printed here."""
