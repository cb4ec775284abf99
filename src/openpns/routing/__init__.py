"""Who is called: the question that a switch asks for each call."""
