"""What does the user want? One module a command; each parses, calls a room and prints."""
