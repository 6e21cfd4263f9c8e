"""From a case's files to the arrays that training reads, stored once."""
