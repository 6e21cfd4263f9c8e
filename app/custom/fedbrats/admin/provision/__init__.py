"""From a project file to one startup kit per participant."""
