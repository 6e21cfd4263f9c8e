"""What people look at: tables, plots, overlays, the HTML report, the MONAI bundle."""
