"""The documents: what makes their generated parts, and what holds them to the code."""
