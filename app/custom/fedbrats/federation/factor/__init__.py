"""The Contribution Factor: how much each site's update counts."""
