"""What is wrong with cases."""
