"""Read results and say what can be said of them."""
