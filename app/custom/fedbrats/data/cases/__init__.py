"""Case folders, tables and datalists: names and layouts."""
